"""What is kept on the disk. No torch."""

"""What is stored on disk. No torch."""

"""What flows through the program, and what everyone needs."""

"""The data that flows through the program, and what every part requires."""

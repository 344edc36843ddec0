"""What was typed, made into a job."""

"""From the command line to a job."""

"""Runs the jobs of a command: one after another here, side by side in other processes, or on a cluster."""

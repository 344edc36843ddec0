"""Runs on disk: their rows, clips, facts and identity. Imports no torch."""

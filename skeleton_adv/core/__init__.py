"""Data types and helpers that every part of the program uses."""

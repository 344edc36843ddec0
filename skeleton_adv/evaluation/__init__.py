"""Victims put to the test: one file for each kind of row."""

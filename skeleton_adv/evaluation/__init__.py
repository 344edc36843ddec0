"""Evaluation of victims: one file per kind of row."""

"""Evaluation of victims, with one module per kind of row."""

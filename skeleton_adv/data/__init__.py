"""Datasets, and the prepared clips that training, every T and every victim share."""

"""Datasets, and the prepared clips that trainings, all T and all victims share."""

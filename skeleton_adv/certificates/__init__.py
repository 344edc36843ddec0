"""Certified radii by randomized smoothing."""

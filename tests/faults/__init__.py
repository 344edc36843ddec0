"""Faults that are really injected, and what then happens; ``scripts/faults.py`` runs all of them."""

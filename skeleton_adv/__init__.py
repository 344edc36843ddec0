"""Attack, defend and certify skeleton-based action recognition."""

__version__ = "0.1.0"

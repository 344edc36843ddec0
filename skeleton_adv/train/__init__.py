"""How victims are trained, and whatever else is fitted once on training clips."""

from skeleton_adv.train.recipe import Recipe

__all__ = ["Recipe"]

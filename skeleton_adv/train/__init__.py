"""The training of victims, and anything else that is fitted once on training clips."""

from skeleton_adv.train.recipe import Recipe

__all__ = ["Recipe"]

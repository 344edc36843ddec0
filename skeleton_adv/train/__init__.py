"""The training of victims, and all else that is fitted once on training clips."""

from skeleton_adv.train.recipe import Recipe

__all__ = ["Recipe"]

"""How victims are trained."""

from skeleton_adv.train.fit import Recipe

__all__ = ["Recipe"]

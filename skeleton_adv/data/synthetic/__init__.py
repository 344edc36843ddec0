"""A stand-in for NTU RGB+D, generated on demand."""

from skeleton_adv.data.synthetic.dataset import FPS, GENERATOR, SyntheticMotion

__all__ = ["FPS", "GENERATOR", "SyntheticMotion"]

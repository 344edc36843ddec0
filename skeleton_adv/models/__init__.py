"""Victims' networks, (N, C, T, V, M) -> logits (N, num_classes), and their preprocessing."""

from skeleton_adv.models.checkpoint import load_checkpoint

__all__ = ["load_checkpoint"]

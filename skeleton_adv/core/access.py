"""How much of a victim somebody may see."""

from typing import Literal

# What a call of the victim gives: logits that can be differentiated, logits, predicted classes, or nothing at all.
Access = Literal["gradients", "scores", "labels", "none"]

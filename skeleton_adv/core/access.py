"""How much of a victim an attack may see."""

from typing import Literal

# A call of the victim returns differentiable logits, logits, predicted classes, or nothing.
Access = Literal["gradients", "scores", "labels", "none"]

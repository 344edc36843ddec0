"""Where an attack begins: at the clean clip, or at a short displacement that fools the model already."""

from typing import Literal

from torch import Tensor

from skeleton_adv.attacks import Model
from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.ddn import descend
from skeleton_adv.attacks.shortest import per_clip
from skeleton_adv.core.batch import SkeletonBatch

Start = Literal["clean", "ddn", "cw"]


def start_passes(start: Start, steps: int) -> int:
    """How often ``started`` calls the model."""
    return {"clean": 0, "ddn": steps, "cw": 2 * steps + 2}[start]


def started(model: Model, batch: SkeletonBatch, targeted: bool, start: Start, steps: int) -> Tensor:
    """The clips (N, C, T, V, M) at which an attack begins; the clean clip where no displacement fools the model.

    - ``ddn``: the shortest displacement of ``steps`` steps of DDN (arXiv 1811.09600), on its margin
    - ``cw``: the shortest after ``steps`` steps of C&W (arXiv 1608.04644) that refine the one of DDN
    """
    if start == "clean":
        return batch.x
    if start == "cw":
        result = cw(model, batch, targeted=targeted, search_steps=1, steps=steps, start="ddn", start_steps=steps)
        return result.x_adv.where(per_clip(result.found), batch.x)
    best, _ = descend(model, batch, targeted, "margin", steps)
    return batch.x + best.delta

"""Adversarial clips that another run has saved, to be judged by any victim."""

from pathlib import Path

import torch

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.ranges import checked
from skeleton_adv.runs.clips import SavedClips


@needs("labels", passes=lambda **_: 1)
@checked
def from_file(model: Model, batch: SkeletonBatch, *, path: str, targeted: bool = False) -> AttackResult:
    """The clips of the run in the folder ``path``, which was made with ``runtime.save_clips=true``.

    Costs one forward pass and no gradient. Raises ``RunError`` if a clip is missing, of another
    shape, or moves an immovable entry.
    """
    x_adv = torch.as_tensor(SavedClips(Path(path)).load(batch.index.tolist())).to(batch.x)
    if x_adv.shape != batch.x.shape:
        raise RunError(f"{path} contains clips of shape {tuple(x_adv.shape[1:])}, not {tuple(batch.x.shape[1:])}")
    if not ((x_adv == batch.x) | batch.movable | ~x_adv.isfinite()).all():
        raise RunError(f"{path} contains clips of other data: it moves joints that do not exist")
    # A clip that diverged is not finite anywhere, absent joints included.
    x_adv = torch.where(batch.movable | x_adv.isfinite(), x_adv, batch.x)
    classes = model(x_adv)
    hit = classes == batch.y
    return AttackResult(x_adv, hit if targeted else ~hit & (classes >= 0))

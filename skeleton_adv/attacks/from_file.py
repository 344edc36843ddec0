"""Adversarial clips that another run saved, judged by any victim."""

from pathlib import Path

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.ranges import checked
from skeleton_adv.runs.clips import SavedClips


@needs("labels", passes=lambda **_: 1, masks=False)
@checked
def from_file(model: Model, batch: SkeletonBatch, *, path: str, targeted: bool = False) -> AttackResult:
    """The clips of the run in the folder ``path``; the run must have had ``runtime.save_clips=true``.

    Costs one forward pass and no gradient. Raises ``RunError`` as ``saved_clips`` does.
    """
    return as_found(model, saved_clips(path, batch), batch, targeted)


def as_found(model: Model, x_adv: Tensor, batch: SkeletonBatch, targeted: bool) -> AttackResult:
    """The result of an attack that only asks for the classes of clips (N, C, T, V, M), in one pass."""
    classes = model(x_adv)
    hit = classes == batch.y
    return AttackResult(x_adv, hit if targeted else ~hit & (classes >= 0))


def saved_clips(path: str, batch: SkeletonBatch) -> Tensor:
    """The clips (N, C, T, V, M) that the run in the folder ``path`` saved for these clean clips.

    Raises ``RunError`` if a clip is missing, has another shape, or moves an immovable entry.
    """
    x_adv = torch.as_tensor(SavedClips(Path(path)).load(batch.index.tolist())).to(batch.x)
    if x_adv.shape != batch.x.shape:
        raise RunError(
            f"attack.path={path} contains clips of shape {tuple(x_adv.shape[1:])}, not {tuple(batch.x.shape[1:])}: "
            "use the dataset settings of that run"
        )
    if not ((x_adv == batch.x) | batch.movable | ~x_adv.isfinite()).all():
        raise RunError(
            f"attack.path={path} contains clips that move joints which do not exist in this dataset: "
            "use the dataset settings of that run"
        )
    # In a clip that diverged, no entry is finite, not even those of absent joints.
    return torch.where(batch.movable | x_adv.isfinite(), x_adv, batch.x)

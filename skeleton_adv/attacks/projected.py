"""Adversarial clips that another run saved, moved to the nearest clips within the limits of the body."""

from collections.abc import Mapping

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.from_file import as_found, saved_clips
from skeleton_adv.constraints import Constraint
from skeleton_adv.constraints.projection import project
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import checked


@needs("labels", passes=lambda **_: 1, masks=False)
@checked
def projected(
    model: Model, batch: SkeletonBatch, *, path: str, constraints: Mapping[str, Constraint], targeted: bool = False
) -> AttackResult:
    """Feasible clips near those of the run in the folder ``path``; the run must have had ``runtime.save_clips=true``.

    The method is ours: it shows what remains of an attack in the limits of Zheng et al. (arXiv 2005.07151, Eqs. 4 to
    7). Each clip is projected on all ``constraints`` at once (``constraints.projection``), so every clip is feasible; a
    clip that diverged becomes the clean one. Costs one forward pass and no gradient. Raises ``RunError`` if the saved
    clips do not fit these, and ``SettingError`` if a constraint cannot be projected on.
    """
    return as_found(model, project(constraints, saved_clips(path, batch), batch), batch, targeted)

"""The part of an attack that is fitted on training clips before the attack, such as a universal perturbation."""

import hashlib
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from skeleton_adv.attacks import Model, Pool, fit_of, strongest_access
from skeleton_adv.command.job import Job
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import AttackError, CheckpointError
from skeleton_adv.core.files import digest, read_json, write_json, write_whole
from skeleton_adv.core.progress import log
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.provenance import provenance
from skeleton_adv.train.fitted import Fitted

FITTING = 1  # raise it if the fits of attacks change


def fitted_part(
    job: Job, attack: Any, attacked: Victim, pool: Pool, settings: Mapping[str, Any]
) -> dict[str, Tensor] | None:
    """The tensors that an attack fits on training clips, or those of an earlier fit; None if it fits nothing.

    They are stored in ``<checkpoint_dir>/<dataset>/<attack>_<identity>.safetensors``, where the identity is that of
    ``settings``. An interrupted fit continues.
    """
    fit = fit_of(attack)
    if fit is None:
        return None
    key = identity(settings, FITTING)
    name = f"{job.choices['attack']}_{key}.safetensors"
    part = Fitted(Path(job.runtime.checkpoint_dir) / job.dataset.name / name, key)

    def view(batch: SkeletonBatch, draw: int = 0) -> Model:
        purpose = f"fit {draw}" if draw else "fit"
        return attacked.view(batch, purpose, job.settings.get("seed", 0)).limited(strongest_access(attack))

    def work(scratch: Path) -> Mapping[str, Any]:
        state = torch.load(scratch, map_location=attacked.device, weights_only=True) if scratch.exists() else None
        log(f"fitting {job.choices['attack']} on {len(pool)} training clips: {part.path}")
        for reached in fit(view, pool, state):
            state = reached
            _keep(scratch, reached)
        if state is None:
            raise AttackError(f"the fit of attack {job.choices['attack']} returned nothing: it must yield its tensors")
        facts = {"identity": key, "settings": dict(settings), "dataset": job.dataset.name, "command": job.command}
        facts |= provenance(attacked.device)
        save_part(part.path, state, facts)
        return facts

    part.fit(work)
    return load_part(part.path, attacked.device)


def _keep(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write the state of an unfinished fit."""
    content = BytesIO()
    torch.save(dict(state), content)
    write_whole(path, content.getvalue())


def save_part(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the tensors of a fitted part, and its facts beside them."""
    from safetensors.torch import save

    stored = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    # The facts are written first, so that tensors never exist without facts.
    write_json(path.with_suffix(".json"), {**facts, "weights": hashlib.sha256(stored).hexdigest()})
    write_whole(path, stored)


def load_part(path: Path, device: str) -> dict[str, Tensor]:
    """The tensors of a fitted part; raises ``CheckpointError`` if its JSON describes another file."""
    from safetensors.torch import load_file

    known = read_json(path.with_suffix(".json"), CheckpointError)
    if known.get("weights") != digest(path):
        raise CheckpointError(f"{path} is not the file that its JSON describes: delete both, to fit it again")
    return load_file(path, device=device)

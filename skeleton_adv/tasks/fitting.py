"""The parts of an attack or a defense that are fitted on training clips, such as a universal perturbation."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.attacks import fit_of, strongest_access
from skeleton_adv.command.job import Job
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import AttackError, CheckpointError
from skeleton_adv.core.files import digest, read_json, write_json, write_whole
from skeleton_adv.core.pool import Model, Pool, Tensors
from skeleton_adv.core.progress import log
from skeleton_adv.data.clips import Prepared
from skeleton_adv.defenses import is_fitted, none
from skeleton_adv.evaluation.pool import TrainingPool
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.identity import identity, source_of
from skeleton_adv.runs.provenance import provenance
from skeleton_adv.tasks.weights import Weights, role_settings
from skeleton_adv.train.fitted import Fitted

FITTING = 1  # raise it if the fits of attacks or defenses change
Defense = Callable[..., nn.Module]


def fitted_part(
    job: Job, attack: Any, attacked: Victim, pool: Pool, settings: Mapping[str, Any]
) -> dict[str, Tensor] | None:
    """The tensors that an attack fits on training clips, or those of an earlier fit; None if it fits nothing.

    They are found by ``settings``.
    """
    fit = fit_of(attack)
    if fit is None:
        return None

    def view(batch: SkeletonBatch, draw: int = 0) -> Model:
        purpose = f"fit {draw}" if draw else "fit"
        return attacked.view(batch, purpose, job.settings.get("seed", 0)).limited(strongest_access(attack))

    return _fitted(
        job, f"attack {job.choices['attack']}", partial(fit, view, pool), settings, len(pool), attacked.device
    )


def fitted_defense(
    job: Job, defense: Defense, network: nn.Module, prepared: Prepared, weights: Weights, device: str
) -> Defense:
    """The defense with the tensors that it fits on training clips, or with those of an earlier fit.

    They are found by the settings of the defense and the data, and by the victim if the fit calls it. A defense that
    fits nothing is returned as it is.
    """
    if not is_fitted(defense):
        return defense
    made: Any = defense(network)
    pool, undefended = TrainingPool(job.dataset, prepared, device), Victim(network, none, device)
    settings = {"defense": job.settings["defense"] | source_of(defense), "prepared": prepared.digest}
    if getattr(made, "fit_calls_network", True):
        settings |= {**role_settings(job, job.victim), "checkpoint": weights.digest}
    settings |= {"dataset": job.dataset_settings}

    def view(batch: SkeletonBatch, draw: int = 0) -> Model:
        return undefended.view(batch, f"fit {draw}", 0).limited("gradients")

    fit = partial(made.fit, view, pool)
    fitted = _fitted(job, f"defense {job.choices['defense']}", fit, settings, len(pool), device)
    return partial(defense, fitted=fitted)


def _fitted(
    job: Job,
    what: str,
    fit: Callable[[Tensors | None], Iterator[Tensors]],
    settings: Mapping[str, Any],
    clips: int,
    device: str,
) -> dict[str, Tensor]:
    """The tensors that ``fit(state)`` yields last, or those of an earlier fit with the same ``settings``.

    They are stored in ``<checkpoint_dir>/<dataset>/<name>_<identity>.safetensors``, where the name is the second word
    of ``what``. An interrupted fit continues.
    """
    kind, name = what.split()
    key = identity(settings, FITTING)
    part = Fitted(Path(job.runtime.checkpoint_dir) / job.dataset.name / f"{name}_{key}.safetensors", key)

    def work(scratch: Path) -> Mapping[str, Any]:
        state = torch.load(scratch, map_location=device, weights_only=True) if scratch.exists() else None
        log(f"fitting {name} on {clips} training clips: {part.path}")
        for reached in fit(state):
            state = reached
            _keep(scratch, reached)
        if state is None:
            raise AttackError(f"the fit of {kind} {name} returned nothing: it must yield its tensors")
        facts = {"identity": key, "settings": dict(settings), "dataset": job.dataset.name, "command": job.command}
        facts |= provenance(device)
        save_part(part.path, state, facts)
        return facts

    part.fit(work)
    return load_part(part.path, device)


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

"""What several tasks need: prepared clips, networks with their weights, and the facts of a run."""

import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from skeleton_adv.command.job import Job, Role, network_of
from skeleton_adv.core.errors import DataError
from skeleton_adv.core.progress import log, track
from skeleton_adv.data.clips import Clip, Prepared, hashed_order
from skeleton_adv.data.store import prepare
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.space import Normalised
from skeleton_adv.models.weights import load_weights
from skeleton_adv.runs.folder import now, provenance
from skeleton_adv.tasks.checks import check_training, trained_here


def prepared_clips(job: Job) -> Prepared:
    def progress(clips: Iterable[Clip], total: int) -> Iterable[Clip]:
        return track(clips, total, f"preparing {job.dataset.name}")

    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    prepared = prepare(job.dataset, Path(job.runtime.cache_dir), progress, job.runtime.workers or own or 1)
    if prepared.skipped:
        names = ", ".join(name for name, _ in prepared.skipped)
        log(f"{len(prepared.skipped)} broken files are left out: {names} (task=prepare tells why)")
    return prepared if job.dataset.space == "camera" else Normalised(prepared, job.dataset.skeleton)


def test_clips(job: Job, prepared: Prepared) -> list[int]:
    """The test clips in their order; raises ``DataError`` if there are none."""
    clips = hashed_order(prepared.clips, "test")
    if not clips:
        count = len(prepared.clips)
        raise DataError(f"{job.dataset.name}: none of its {count} clips is a test clip: nothing to {job.task} on")
    return clips


def trained_network(job: Job, role: Role, checkpoint: Path, prepared: Prepared) -> tuple[Network, dict[str, Any]]:
    """A role's network with its weights, and its training's own word on its accuracy, its noise and its clips."""
    model = network_of(job, role)
    network = build_network(model.architecture, model.preprocess, job.dataset)
    about = load_weights(network, checkpoint)
    check_training(job, role, checkpoint, about, prepared)
    trained = about.get("settings")
    return network, {
        "checkpoint_accuracy": about.get("test_accuracy"),
        "trained_noise": trained.get("noise", 0.0) if trained else None,
        "trained_here": trained_here(job, about, prepared),
    }


def facts_of(job: Job, settings: Mapping[str, Any], key: str, device: str) -> dict[str, Any]:
    return {
        "identity": key,
        "settings": dict(settings),
        "choices": dict(job.choices),
        "dataset": job.dataset.name,
        "stand_in": job.dataset.stand_in,
        "num_frames": job.dataset.num_frames,
        "num_classes": len(job.dataset.classes),
        "classes": list(job.dataset.classes),
        "skeleton": job.dataset.skeleton.name,
        "seeds": {role: model.seed for role in ("model", "surrogate") if (model := getattr(job, role))},
        "command": job.command,
        **provenance(device),
    }


def times(start: str, began: float) -> dict[str, Any]:
    return {"began": start, "ended": now(), "seconds": round(time.monotonic() - began, 1)}

"""Shared by runs of every kind: prepared clips, the facts of a run, and resumable work."""

import os
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.progress import log, track
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.clips import Clip, Prepared, hashed_order
from skeleton_adv.data.store import prepare
from skeleton_adv.models.space import Normalised
from skeleton_adv.runs.folder import RunFolder
from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.provenance import now, provenance
from skeleton_adv.runs.schema import Columns, RowKind


def prepared_clips(job: Job) -> Prepared:
    """The dataset's clips, prepared if necessary, in the job's space."""

    def progress(clips: Iterable[Clip], total: int) -> Iterable[Clip]:
        return track(clips, total, f"preparing {job.dataset.name}")

    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    prepared = prepare(job.dataset, Path(job.runtime.cache_dir), progress, job.runtime.workers or own or 1)
    if prepared.skipped:
        names = ", ".join(name for name, _ in prepared.skipped)
        log(f"{len(prepared.skipped)} broken files are left out: {names} (task=prepare gives the reasons)")
    given = job.dataset.spaces == ("normalised",)  # by the files
    return prepared if given or job.dataset.space == "camera" else Normalised(prepared, job.dataset.skeleton)


def test_clips(job: Job, prepared: Prepared) -> list[int]:
    """The test clips in their order; raises ``DataError`` if there are none."""
    clips = hashed_order(prepared.clips, "test")
    if not clips:
        count = len(prepared.clips)
        raise DataError(f"{job.dataset.name}: none of its {count} clips is a test clip: {job.dataset.splitting}")
    return clips


def training_clips(job: Job, prepared: Prepared) -> list[int]:
    """The training clips in their order; raises ``DataError`` if there are none."""
    clips = hashed_order(prepared.clips, "train")
    if not clips:
        raise DataError(
            f"{job.dataset.name}: none of its {len(prepared.clips)} clips is a training clip: {job.dataset.splitting}"
        )
    return clips


def facts_of(job: Job, settings: Mapping[str, Any], key: str, device: str) -> dict[str, Any]:
    """The facts about a job in ``run.json`` or in the JSON beside weights."""
    return {
        "identity": key,
        "settings": dict(settings),
        "choices": dict(job.choices),
        "dataset": job.dataset.name,
        "unit": job.dataset.unit,
        "fps": job.dataset.fps,
        "image_size": None if job.dataset.image_size is None else list(job.dataset.image_size),
        "stand_in": job.dataset.stand_in,
        "stands_for": job.dataset.stands_for,
        "num_frames": job.dataset.num_frames,
        "num_classes": len(job.dataset.classes),
        "classes": list(job.dataset.classes),
        **_body_facts(job.dataset.skeleton),
        "seeds": {role.key: role.model.seed for role in job.roles},
        "experiment": job.choices.get("experiment"),
        "sweep": job.sweep,
        "command": job.command,
        **provenance(device),
    }


def _body_facts(skeleton: Skeleton) -> dict[str, Any]:
    """The skeleton's name, and all of it unless it is a built-in one."""
    own = {} if SKELETONS.get(skeleton.name) == skeleton else {"body": skeleton.as_dict()}
    return {"skeleton": skeleton.name, **own}


def times(start: str, began: float) -> dict[str, Any]:
    """When work began (``start``; ``began`` on the monotonic clock) and ended, and how long it took."""
    return {"began": start, "ended": now(), "seconds": round(time.monotonic() - began, 1)}


def run_folder(job: Job, what: str, settings: Mapping[str, Any], kind: RowKind) -> RunFolder:
    """The folder of a run, by its identity; raises ``SettingError`` if it exists under other options' names."""
    key = identity(settings, kind.schema)
    names = (job.dataset.name, job.victim.option, what, str(job.choices["defense"]), key)
    place = Path(job.runtime.output_dir).joinpath(*names)
    for other in Path(job.runtime.output_dir, job.dataset.name).glob(f"*/*/*/{key}"):
        if other != place and any(other.glob("*.csv")):
            raise SettingError(
                f"the same run exists under other names, in {other}: use it, move that folder to {place}, "
                "or set another runtime.output_dir"
            )
    return RunFolder(place, kind)


def is_done(folder: RunFolder, order: list[int], saved: Callable[[], bool] = lambda: True) -> bool:
    """Whether all clips of ``order`` have their rows, and everything to be ``saved`` exists; logs it if so."""
    summary = folder.summary()
    if summary is None or summary["done"] < len(order) or not saved():
        return False
    log(f"nothing to do: {summary['done']} of {summary.get('total', len(order))} clips are done in {folder.path}")
    return True


def carry_out(
    folder: RunFolder,
    order: list[int],
    columns: Columns,
    prepared: Prepared,
    facts: Mapping[str, Any],
    work: Callable[[set[int]], None],
    saved: Callable[[], bool] = lambda: True,
) -> Path:
    """Do ``work`` on the clips that are not done, with the folder locked; then write ``facts``."""
    with folder.locked(waiting=f"{folder.path} is in use by another process: waiting for it"):
        if not is_done(folder, order, saved):  # by the other process
            before, start, began = folder.summary(), now(), time.monotonic()
            # Clips that are saved later do not change the rows, their provenance or the mark of completion.
            ended = before is not None and before["done"] >= len(order)
            names = {number: clip.name for number, clip in enumerate(prepared.clips)}
            done = folder.begin(columns, names, withdraw=not ended)
            worked = {} if ended else {"worked_with": _noted(folder, facts)}
            work(done)
            if not ended:
                folder.end({**facts, **worked, "done": len(done | set(order)), **times(start, began)})
    return folder.path


def _noted(folder: RunFolder, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All environments of a run, including this one; logs a warning if they differ."""
    commit = f"{facts['git_commit']}{' with changes' if facts['git_dirty'] else ''}"
    here = {"device": facts["device"], "threads": torch.get_num_threads(), "torch": torch.__version__, "commit": commit}
    worked = folder.note(here)
    if len(worked) > 1:
        changes = [
            f"{name} {worked[0].get(name)}, now {value}" for name, value in here.items() if worked[0].get(name) != value
        ]
        log(f"warning: this run began in another environment ({'; '.join(changes)}): its rows may differ")
    return worked

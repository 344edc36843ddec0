"""Shared by runs of every kind: prepared clips, the facts of a run, and resumable work."""

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.progress import log, track
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.data.clips import Clip, Prepared, hashed_order
from skeleton_adv.data.store import prepare, stored
from skeleton_adv.models.space import Normalised
from skeleton_adv.runs.folder import RunFolder
from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.provenance import now, provenance
from skeleton_adv.runs.schema import Columns, RowKind
from skeleton_adv.runs.shards import Shard


def prepared_clips(job: Job) -> Prepared:
    """The dataset's clips, prepared if necessary, in the job's space."""

    def progress(clips: Iterable[Clip], total: int) -> Iterable[Clip]:
        return track(clips, total, f"preparing {job.dataset.name}")

    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    prepared = prepare(job.dataset, Path(job.runtime.cache_dir), progress, job.runtime.workers or own or 1)
    if prepared.skipped:
        names = ", ".join(name for name, _ in prepared.skipped)
        log(f"{len(prepared.skipped)} broken files are left out: {names} (task=prepare gives the reasons)")
    return _in_space(job, prepared)


def stored_clips(job: Job) -> Prepared | None:
    """Like ``prepared_clips``, but None if the clips are not prepared."""
    prepared = stored(job.dataset, Path(job.runtime.cache_dir))
    return None if prepared is None else _in_space(job, prepared)


def _in_space(job: Job, prepared: Prepared) -> Prepared:
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


@dataclass(frozen=True)
class Chunks:
    """How a job goes through its clips: ``size`` clips at a time, in ``passes`` of a network on ``rows`` clips.

    ``passes`` is None if it is not known before; ``backward``: whether passes compute gradients.
    """

    size: int
    passes: int | None = None
    rows: int = 0
    backward: bool = False


@dataclass(frozen=True)
class Plan:
    """The rows that a job makes: where, of which clips, and at what cost; ``order`` are the clips of its shard."""

    folder: RunFolder
    identity: str
    settings: Mapping[str, Any]
    total: int  # clips without a limit
    clips: int  # clips of all shards
    order: list[int]
    chunks: Chunks
    shard: Shard | None = None

    @classmethod
    def of(
        cls,
        job: Job,
        what: tuple[str, Mapping[str, Any], RowKind],
        everything: Sequence[int],
        chunks: Chunks,
        total: int | None = None,
    ) -> "Plan":
        """The plan of a job; ``what`` are the name of its method, its settings, and the kind of its rows.

        ``total`` is the number of clips to report, if it is larger than the number of those that can be used.
        """
        clips, shard = list(everything[: job.runtime.limit]), job.runtime.part
        order = clips if shard is None else shard.of_order(clips, chunks.size)
        if not order:
            raise SettingError(
                f"runtime.shard={job.runtime.shard} has no clips: {len(clips)} clips in chunks of {chunks.size} make "
                f"{-(-len(clips) // chunks.size)} shards at most"
            )
        folder, key = run_folder(job, *what)
        return cls(folder, key, what[1], total or len(everything), len(clips), order, chunks, shard)

    @property
    def passes(self) -> int | None:
        """Passes of a network per chunk, if known."""
        return self.chunks.passes

    def facts(self) -> dict[str, Any]:
        """The facts in ``run.json`` about the identity and the clips."""
        shard = {} if self.shard is None else {"shard": {**self.shard._asdict(), "clips": self.clips}}
        return {"identity": self.identity, "settings": dict(self.settings), "total": self.total, **shard}


def facts_of(job: Job, plan: Plan, device: str) -> dict[str, Any]:
    """The facts about a job in ``run.json``."""
    return plan.facts() | job_facts(job, plan.settings, plan.identity, device)


def job_facts(job: Job, settings: Mapping[str, Any], key: str, device: str) -> dict[str, Any]:
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


def run_folder(job: Job, what: str, settings: Mapping[str, Any], kind: RowKind) -> tuple[RunFolder, str]:
    """The folder of a run or of its shard, and the identity that names it.

    Raises ``SettingError`` if the run exists under other options' names.
    """
    key = identity(settings, kind.schema)
    names = (job.dataset.name, job.victim.option, what, str(job.choices["defense"]), key)
    place = Path(job.runtime.output_dir).joinpath(*names)
    for other in Path(job.runtime.output_dir, job.dataset.name).glob(f"*/*/*/{key}"):
        if other != place and any(other.rglob("*.csv")):
            raise SettingError(
                f"the same run exists under other names, in {other}: use it, move that folder to {place}, "
                "or set another runtime.output_dir"
            )
    shard = job.runtime.part
    return RunFolder(place if shard is None else place / shard.folder, kind), key


def is_done(folder: RunFolder, order: list[int], saved: Callable[[], bool] = lambda: True) -> bool:
    """Whether all clips of ``order`` have their rows, and everything to be ``saved`` exists; logs it if so."""
    summary = folder.summary()
    if summary is None or summary["done"] < len(order) or not saved():
        return False
    log(f"nothing to do: {summary['done']} of {summary.get('total', len(order))} clips are done in {folder.path}")
    return True


def carry_out(
    plan: Plan,
    columns: Columns,
    prepared: Prepared,
    facts: Mapping[str, Any],
    work: Callable[[set[int]], None],
    saved: Callable[[], bool] = lambda: True,
) -> Path:
    """Do ``work`` on the clips that are not done, with the folder locked; then write ``facts``."""
    folder, order = plan.folder, plan.order
    with folder.locked(waiting=f"{folder.path} is in use by another process: waiting for it"):
        if not is_done(folder, order, saved):  # by the other process
            before, start, began = folder.summary(), now(), time.monotonic()
            # Clips that are saved later do not change the rows, their provenance or the mark of completion.
            ended = before is not None and before["done"] >= len(order)
            names = {number: clip.name for number, clip in enumerate(prepared.clips)}
            done = folder.begin(columns, names, withdraw=not ended)
            if not ended:
                folder.announce(_announced(plan, facts))
            worked = {} if ended else {"worked_with": _noted(folder, facts)}
            work(done)
            if not ended:
                folder.end({**facts, **worked, "done": len(done | set(order)), **times(start, began)})
    return folder.path


def _announced(plan: Plan, facts: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of an unfinished run must know: its command, and how much work it is."""
    names = ("command", "sweep", "total", "choices", "dataset", "num_frames", "shard", "device")
    of_job = {name: facts.get(name) for name in names}
    work = {"clips": len(plan.order), "size": plan.chunks.size, "passes": plan.passes}
    return {name: value for name, value in of_job.items() if value is not None} | work


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

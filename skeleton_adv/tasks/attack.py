"""``task=attack`` and ``task=certify``: runs of records, resumable, each in a folder of its own."""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult
from skeleton_adv.command.job import Job, certificate_settings, find_checkpoint, run_settings
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.progress import Progress, log
from skeleton_adv.data.clips import Prepared
from skeleton_adv.defenses import none
from skeleton_adv.evaluation.attack import Evaluation
from skeleton_adv.evaluation.certify import Certification
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.folder import CERTIFICATE_COLUMNS, CertificateRecord, Record, RunFolder, identity, now
from skeleton_adv.tasks.checks import (
    check_access,
    check_defense,
    check_origin,
    check_smoothing,
    check_target,
    check_trace,
    warn_of_noise,
)
from skeleton_adv.tasks.resume import facts_of, prepared_clips, test_clips, times, trained_network

Answers = dict[tuple[int, ...], Tensor]
# Answers about clean clips, by victim and chunk: the runs of a sweep need not ask for them again.
_CLEAN: dict[str, Answers] = {}
OF_THE_ATTACK = ("attack", "constraint", "targeted", "target", "adaptive", "surrogate", "surrogate_checkpoint")


def attack(job: Job) -> Path:
    """Attack the test clips; resume what was begun; do nothing if all is done."""
    check_target(job)
    check_access(job)
    check_defense(job)
    check_trace(job)
    device, prepared, path = job.runtime.torch_device(), prepared_clips(job), find_checkpoint(job)
    check_origin(job, prepared)
    surrogate = find_checkpoint(job, "surrogate") if job.surrogate else None
    settings = run_settings(job, prepared, path, surrogate)
    folder, everything = RunFolder(_place(job, job.choices["attack"], settings)), test_clips(job, prepared)
    order = everything[: job.runtime.limit]
    if _done(folder, order, job):
        return folder.path
    clean = _CLEAN.setdefault(_victim_alone(settings, device), {})
    progress = Progress(f"{job.choices['attack']} on {job.choices['model']}, chunks of {job.batch_size}")
    defended = partial(Victim, device=device, asked=progress.pulse)
    evaluation, training = _evaluation(job, prepared, path, surrogate, clean, defended)
    facts = {**facts_of(job, settings, folder.path.name, device), **training, "total": len(everything)}
    origin = {"run": folder.path.name, "dataset": job.dataset.name, "prepared": prepared.digest}
    origin |= {name: str(facts[name]) for name in ("device", "git_commit", "versions")}

    def work(done: set[int]) -> dict[str, Any]:
        def keep(numbers: list[int], rows: list[dict[str, Any]], arrays: Mapping[str, np.ndarray]) -> None:
            folder.compare([Record(**row) for row in rows])
            tensors = {name: torch.from_numpy(values) for name, values in arrays.items()}
            # Clips of a process that died before it wrote their rows may be another machine's.
            SavedClips(folder.path).save(numbers, tensors, origin, anew=not done.issuperset(numbers))

        saving = (keep, _saved(job, folder)) if job.runtime.saving else ()
        evaluation.run(order, done, lambda rows: folder.append([Record(**row) for row in rows]), progress.over, *saving)
        return {"skipped_files": len(prepared.skipped)}

    return _carried_out(job, folder, order, facts, work)


def certify(job: Job) -> Path:
    """Certify the test clips; resume what was begun, within a clip too; do nothing if all is done."""
    check_smoothing(job)
    check_defense(job)
    device, prepared, path = job.runtime.torch_device(), prepared_clips(job), find_checkpoint(job)
    settings = certificate_settings(job, prepared, path)
    folder = RunFolder(_place(job, "certify", settings), "certificates.csv", CERTIFICATE_COLUMNS)
    everything = test_clips(job, prepared)
    order = everything[: job.runtime.limit]
    if _done(folder, order, job):
        return folder.path
    network, training = trained_network(job, "model", path, prepared)
    warn_of_noise(job, training["trained_noise"])
    progress = Progress(f"certifying {job.choices['model']}, {job.smoothing.clips} clips at once")
    victim = Victim(network, job.defense, device, progress.pulse)
    certification = Certification(job.dataset, prepared, victim, job.smoothing, job.seed)

    def work(done: set[int]) -> dict[str, Any]:
        certification.run(
            order,
            done,
            lambda rows: folder.append([CertificateRecord(**row) for row in rows]),
            progress.over,
            folder.path / ".counts.npz",
        )
        return {}

    facts = {**facts_of(job, settings, folder.path.name, device), **training, "total": len(everything)}
    return _carried_out(job, folder, order, facts, work)


def _victim_alone(settings: Mapping[str, Any], device: str) -> str:
    """The identity of all that the answers about clean clips depend on."""
    return identity({name: value for name, value in settings.items() if name not in OF_THE_ATTACK} | {"device": device})


def _place(job: Job, what: str, settings: Mapping[str, Any]) -> Path:
    """The folder of a run, by its identity; raises ``SettingError`` if the same was run under other options' names."""
    names = (job.dataset.name, job.choices["model"], what, job.choices["defense"], identity(settings))
    place = Path(job.runtime.output_dir).joinpath(*names)
    for other in Path(job.runtime.output_dir, job.dataset.name).glob(f"*/*/*/{names[-1]}"):
        if other != place and any(other.glob("*.csv")):
            raise SettingError(
                f"the same was run under other names, in {other}: give those, move that folder here, {place}, "
                "or set another runtime.output_dir"
            )
    return place


def _carried_out(
    job: Job,
    folder: RunFolder,
    order: list[int],
    facts: Mapping[str, Any],
    work: Callable[[set[int]], Mapping[str, Any]],
) -> Path:
    """Do ``work`` on the clips that are not done, alone in the folder; write ``facts`` and its own as the end."""
    with folder.locked(waiting=f"{folder.path} is at work in another process: waiting for it"):
        if not _done(folder, order, job):  # by the process that was waited for
            before, start, began = folder.summary(), now(), time.monotonic()
            # Clips that are only kept afterwards leave the rows, their provenance and the mark of an end alone.
            ended = before is not None and before["done"] >= len(order)
            done = folder.begin(withdraw=not ended)
            worked = {} if ended else {"worked_with": _noted(folder, facts)}
            more = work(done)
            if not ended:
                folder.end({**facts, **more, **worked, "done": len(done | set(order)), **times(start, began)})
    return folder.path


def _noted(folder: RunFolder, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All that a run was worked on with, this time included; says so if that was not always the same."""
    commit = f"{facts['git_commit']}{' with changes' if facts['git_dirty'] else ''}"
    here = {"device": facts["device"], "threads": torch.get_num_threads(), "torch": torch.__version__, "commit": commit}
    worked = folder.note(here)
    if len(worked) > 1:
        log(f"this run was begun otherwise ({worked[0]}): its rows may differ from those of a run of one kind")
    return worked


def _done(folder: RunFolder, order: list[int], job: Job) -> bool:
    summary = folder.summary()
    if summary is None or summary["done"] < len(order):
        return False
    if job.task == "attack" and job.runtime.saving and not _saved(job, folder) >= {*order}:
        return False
    log(f"nothing to do: {summary['done']} of {summary['total']} clips are done in {folder.path}")
    return True


def _saved(job: Job, folder: RunFolder) -> set[int]:
    """The clips that are saved with all that the job wants to keep of them."""
    clips = SavedClips(folder.path)
    return {*clips.traced} if job.runtime.save_trace else {*clips.whole}


def _evaluation(
    job: Job,
    prepared: Prepared,
    checkpoint: Path,
    surrogate: Path | None,
    clean: Answers,
    defended: Callable[..., Victim],
) -> tuple[Evaluation, dict[str, Any]]:
    """The evaluation that a job asks for, and facts of the victim's training."""
    network, training = trained_network(job, "model", checkpoint, prepared)
    victim = attacked = defended(network, job.defense)
    if surrogate is not None:
        source, theirs = trained_network(job, "surrogate", surrogate, prepared)
        attacked, training = defended(source, none), {**training, "surrogate_noise": theirs["trained_noise"]}
    elif not job.adaptive:
        attacked = defended(network, none)
    traced: Callable[..., AttackResult] = job.attack  # check_trace has seen that it takes a trace
    same = ("dataset", "targeted", "target", "seed", "batch_size", "judgements")
    evaluation = Evaluation(
        **{name: getattr(job, name) for name in same},
        attack=partial(traced, trace=True) if job.runtime.save_trace else job.attack,
        prepared=prepared,
        victim=victim,
        attacked=attacked,
        constraints=job.constraint,
        clean=clean,
    )
    return evaluation, training

"""What one command does: attack a victim, certify or train one, prepare or export data."""

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock

from skeleton_adv.certification import Certification
from skeleton_adv.checks import check_access, check_origin, check_smoothing, check_target, check_training
from skeleton_adv.data.clips import Clip, Prepared, hashed_order
from skeleton_adv.data.store import prepare
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics
from skeleton_adv.defenses import none
from skeleton_adv.errors import CheckpointError, DataError, SettingError
from skeleton_adv.evaluate import Evaluation
from skeleton_adv.job import (
    Job,
    Role,
    certificate_settings,
    checkpoint_name,
    find_checkpoint,
    model_settings,
    network_of,
    run_settings,
)
from skeleton_adv.progress import log, track
from skeleton_adv.records import CERTIFICATE_COLUMNS, RunFolder, identity, now, provenance, read_json
from skeleton_adv.saved import SavedClips
from skeleton_adv.space import Normalised
from skeleton_adv.train import Progress, Recipe, correct, fit
from skeleton_adv.victim import Network, Victim, build_network, load_weights, save_weights

TRAINING = 1  # to be raised with a change of how victims are trained


def run(job: Job) -> Path | None:
    """Do a job's task; return the folder of a run, if it made one."""
    return {"attack": attack, "certify": certify, "train": train, "prepare": prepare_data, "export": export}[job.task](
        job
    )


def attack(job: Job) -> Path:
    """Attack the test clips; resume what was begun; do nothing if all is done."""
    check_target(job)
    check_access(job)
    device, prepared, path = job.runtime.torch_device(), _prepared(job), find_checkpoint(job)
    check_origin(job, prepared)
    surrogate = find_checkpoint(job, "surrogate") if job.surrogate else None
    settings = run_settings(job, prepared, path, surrogate)
    key = identity(settings)
    names = (job.dataset.name, *(job.choices[group] for group in ("model", "attack", "defense")), key)
    folder = RunFolder(Path(job.runtime.output_dir).joinpath(*names))
    everything = hashed_order(prepared.clips, "test")
    if not everything:
        raise DataError(
            f"{job.dataset.name}: none of its {len(prepared.clips)} clips is a test clip: nothing to attack"
        )
    order = everything[: job.runtime.limit]
    if _done(folder, order, job.runtime.save_clips):
        return folder.path
    evaluation, accuracy = _evaluation(job, prepared, path, surrogate, device)
    with folder.locked(waiting=f"{folder.path} is at work in another process: waiting for it"):
        if _done(folder, order, job.runtime.save_clips):  # by the process that was waited for
            return folder.path
        start, began, done = now(), time.monotonic(), folder.begin()
        worked = folder.note({"device": device, "threads": torch.get_num_threads(), "torch": torch.__version__})
        if len(worked) > 1:
            log(f"this run was begun otherwise ({worked[0]}): its rows differ from a run of one kind by rounding")
        label = f"{job.choices['attack']} on {job.choices['model']}, chunks of {job.batch_size}"
        clips, origin = SavedClips(folder.path), {"run": key, "dataset": job.dataset.name, "prepared": prepared.digest}
        keep = (lambda numbers, x_adv: clips.save(numbers, x_adv, origin)) if job.runtime.save_clips else None
        progress = partial(track, what=label)
        evaluation.run(order, done, folder.append, progress, keep, clips.places if keep else ())
        facts = {
            "checkpoint_accuracy": accuracy,
            "done": len(done | set(order)),
            "total": len(everything),
            "skipped_files": len(prepared.skipped),
            "worked_with": worked,
        }
        folder.end({**_facts(job, settings, key, device), **facts, **_times(start, began)})
    return folder.path


def certify(job: Job) -> Path:
    """Certify the test clips; resume what was begun, within a clip too; do nothing if all is done."""
    check_smoothing(job)
    device, prepared, path = job.runtime.torch_device(), _prepared(job), find_checkpoint(job)
    settings = certificate_settings(job, prepared, path)
    key = identity(settings)
    names = (job.dataset.name, job.choices["model"], "certify", job.choices["defense"], key)
    folder = RunFolder(Path(job.runtime.output_dir).joinpath(*names), "certificates.csv", CERTIFICATE_COLUMNS)
    everything = hashed_order(prepared.clips, "test")
    order = everything[: job.runtime.limit]
    if _done(folder, order, False):
        return folder.path
    network, accuracy = _network(job, "model", path)
    victim = Victim(network, job.defense, device)
    certification = Certification(job.dataset, prepared, victim, job.smoothing, job.seed)
    with folder.locked(waiting=f"{folder.path} is at work in another process: waiting for it"):
        if _done(folder, order, False):  # by the process that was waited for
            return folder.path
        start, began, done = now(), time.monotonic(), folder.begin()
        progress = partial(track, what=f"certifying {job.choices['model']}, {job.smoothing.clips} clips at once")
        certification.run(order, done, folder.append, progress, folder.path / ".counts.npz")
        facts = {"checkpoint_accuracy": accuracy, "done": len(done | set(order)), "total": len(everything)}
        folder.end({**_facts(job, settings, key, device), **facts, **_times(start, began)})
    return folder.path


def _done(folder: RunFolder, order: list[int], clips_too: bool) -> bool:
    summary = folder.summary()
    if summary is None or summary["done"] < len(order):
        return False
    if clips_too and not SavedClips(folder.path).places.keys() >= {*order}:
        return False
    log(f"nothing to do: {summary['done']} of {summary['total']} clips are done in {folder.path}")
    return True


def _evaluation(
    job: Job, prepared: Prepared, checkpoint: Path, surrogate: Path | None, device: str
) -> tuple[Evaluation, float | None]:
    """The evaluation that a job asks for, and the victim's accuracy by its training's own word."""
    network, accuracy = _network(job, "model", checkpoint)
    victim = attacked = Victim(network, job.defense, device)
    if surrogate is not None:
        attacked = Victim(_network(job, "surrogate", surrogate)[0], none, device)
    elif not job.adaptive:
        attacked = Victim(network, none, device)
    evaluation = Evaluation(
        **{
            name: getattr(job, name)
            for name in ("dataset", "attack", "targeted", "target", "seed", "batch_size", "judgements")
        },
        prepared=prepared,
        victim=victim,
        attacked=attacked,
        constraints=job.constraint,
    )
    return evaluation, accuracy


def _network(job: Job, role: Role, checkpoint: Path) -> tuple[Network, float | None]:
    """A role's network with its weights, and its accuracy by its training's own word."""
    model = network_of(job, role)
    network = build_network(model.architecture, model.preprocess, job.dataset)
    about = load_weights(network, checkpoint)
    check_training(job, role, checkpoint, about)
    return network, about.get("test_accuracy")


def train(job: Job) -> None:
    """Train a victim by the configured recipe and write its weights, with what is known of them."""
    recipe = job.recipe
    if recipe is None:
        pair = f"model={job.choices['model']} dataset={job.choices['dataset']}"
        raise SettingError(f"no recipe for {pair}: choose one with recipe=...")
    device, prepared = job.runtime.torch_device(), _prepared(job)
    settings = {"recipe": asdict(recipe), "prepared": prepared.digest, **model_settings(job), "seed": job.model.seed}
    settings |= {"noise": job.model.noise} if job.model.noise else {}
    training = identity(settings, TRAINING)
    path = Path(job.model.checkpoint or Path(job.runtime.checkpoint_dir) / checkpoint_name(job))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch, lock = (path.parent / f".{path.stem}-{training}.{kind}" for kind in ("pt", "lock"))
    with FileLock(lock):
        if not _trained(path, training):
            start, began = now(), time.monotonic()
            network, progress = _fit(job, recipe, prepared, device, scratch)
            hits = correct(network, job.dataset, prepared, hashed_order(prepared.clips, "test"), job.batch_size)
            facts = {
                "epochs": progress.chosen or recipe.epochs,
                "held_out_accuracy": progress.held_out[progress.chosen - 1] if progress.held_out else None,
                "test_accuracy": sum(hits) / len(hits),
                "test_clips": len(hits),
            }
            facts = {**_facts(job, settings, training, device), **facts, **_times(start, began)}
            save_weights(network, path, facts, half=recipe.half)
            scratch.unlink(missing_ok=True)
            log(f"test accuracy {100 * sum(hits) / len(hits):.2f} % ({sum(hits)} of {len(hits)} clips): {path}")
    lock.unlink(missing_ok=True)


def _trained(path: Path, training: str) -> bool:
    """Whether these weights stand; raises ``CheckpointError`` if others do."""
    about = path.with_suffix(".json")
    if not path.exists():
        return False
    if about.exists() and read_json(about).get("identity") == training:
        log(f"nothing to do: {path} was trained with these settings")
        return True
    raise CheckpointError(f"{path} exists, trained otherwise: delete it or set model.checkpoint=PATH or model.seed")


def _fit(job: Job, recipe: Recipe, prepared: Prepared, device: str, scratch: Path) -> tuple[Network, Progress]:
    def build() -> Network:
        return build_network(job.model.architecture, job.model.preprocess, job.dataset)

    network, progress = fit(
        build,
        job.dataset,
        prepared,
        recipe,
        seed=job.model.seed,
        device=device,
        scratch=scratch,
        log=log,
        noise=job.model.noise,
    )
    assert isinstance(network, Network)
    if recipe.half:  # the accuracy to be stated is that of the weights as they are stored
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    return network, progress


def prepare_data(job: Job) -> None:
    """Prepare a dataset and say what is in it."""
    prepared = _prepared(job)
    counts = {split: sum(clip.split == split for clip in prepared.clips) for split in ("train", "test")}
    for name, reason in prepared.skipped:
        log(f"skipped {name}: {reason}")
    log(
        f"{job.dataset.name}: {counts['train']} training and {counts['test']} test clips of "
        f"{len(job.dataset.classes)} actions, {len(prepared.skipped)} skipped, digest {prepared.digest[:12]}"
    )


def export(job: Job) -> None:
    """Write a generated dataset's clips as the files that the readers of the real set take."""
    if not isinstance(job.dataset, SyntheticMotion | SyntheticKinetics):
        raise SettingError(f"dataset={job.choices['dataset']} has files already: task=export is for the synthetic sets")
    listed = job.dataset.clips()
    numbers = [n for split in ("train", "test") for n in hashed_order(listed, split)[: job.runtime.limit]]
    folder = Path(job.runtime.export_dir) / job.dataset.name
    folder.mkdir(parents=True, exist_ok=True)
    job.dataset.write(track((listed[n] for n in numbers), len(numbers), f"writing {job.dataset.name}"), folder)
    log(f"{len(numbers)} clips are in {folder}")


def _prepared(job: Job) -> Prepared:
    def progress(clips: Iterable[Clip], total: int) -> Iterable[Clip]:
        return track(clips, total, f"preparing {job.dataset.name}")

    prepared = prepare(
        job.dataset, Path(job.runtime.cache_dir), progress, job.runtime.workers or len(os.sched_getaffinity(0))
    )
    if prepared.skipped:
        names = ", ".join(name for name, _ in prepared.skipped)
        log(f"{len(prepared.skipped)} broken files are left out: {names} (task=prepare tells why)")
    return prepared if job.dataset.space == "camera" else Normalised(prepared, job.dataset.skeleton)


def _facts(job: Job, settings: Mapping[str, Any], key: str, device: str) -> dict[str, Any]:
    return {
        "identity": key,
        "settings": dict(settings),
        "choices": dict(job.choices),
        "dataset": job.dataset.name,
        "stand_in": job.dataset.stand_in,
        "num_frames": job.dataset.num_frames,
        "num_classes": len(job.dataset.classes),
        "seeds": {role: model.seed for role in ("model", "surrogate") if (model := getattr(job, role))},
        "command": job.command,
        **provenance(device),
    }


def _times(start: str, began: float) -> dict[str, Any]:
    return {"began": start, "ended": now(), "seconds": round(time.monotonic() - began, 1)}

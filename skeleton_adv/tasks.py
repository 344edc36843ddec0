"""What one command does: attack a victim, train one, or prepare data."""

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from skeleton_adv.attacks import Attack
from skeleton_adv.constraints import Constraint
from skeleton_adv.data.clips import Clip, Dataset, Prepared, hashed_order
from skeleton_adv.data.store import Store, prepare
from skeleton_adv.errors import CheckpointError, SettingError
from skeleton_adv.evaluate import Evaluation, Target, resolve_class
from skeleton_adv.progress import log, track
from skeleton_adv.ranges import Count, Whole, check_call
from skeleton_adv.records import RunFolder, digest, identity, now, provenance
from skeleton_adv.train import Recipe, correct, fit
from skeleton_adv.victim import Network, Victim, build_network, load_weights, save_weights


@dataclass(frozen=True)
class Runtime:
    """Where and how far to run; nothing here can change a number."""

    device: str = "auto"
    limit: Count | None = None
    output_dir: str = "outputs/runs"
    cache_dir: str = "outputs/prepared"
    checkpoint_dir: str = "outputs/checkpoints"
    table_dir: str = "outputs/tables"

    def __post_init__(self) -> None:
        check_call(Runtime, vars(self), "runtime.")

    def torch_device(self) -> str:
        """The device by torch's name; ``auto`` is a GPU if there is one, set to give the same numbers again."""
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.deterministic = True
        if self.device == "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise SettingError(f"runtime.device={self.device} cannot be used ({reason}): try cpu or auto") from None
        return self.device


@dataclass(frozen=True)
class Model:
    """A victim's network: its constructors, and where its weights are."""

    architecture: Callable[..., nn.Module]
    preprocess: Callable[..., nn.Module]
    checkpoint: str | None = None
    seed: Whole = 0


@dataclass(frozen=True)
class Job:
    """A configuration made into objects; ``settings`` is the same as plain values, ``choices`` the options' names."""

    dataset: Dataset
    model: Model
    attack: Attack
    constraint: Mapping[str, Constraint]
    defense: Callable[[nn.Module], nn.Module]
    recipe: Recipe | None
    task: Literal["attack", "train", "prepare"]
    targeted: bool
    target: Target
    seed: Whole
    batch_size: Count
    runtime: Runtime
    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    command: str

    def run(self) -> Path | None:
        """Do the task; return the folder of a run, if it made one."""
        return {"attack": attack, "train": train, "prepare": prepare_data}[self.task](self)


def attack(job: Job) -> Path:
    """Attack the test clips; resume what was begun; do nothing if all is done."""
    if job.targeted and job.target not in ("random", "least_likely"):
        resolve_class(job.target, job.dataset.classes)
    device = job.runtime.torch_device()
    prepared = _prepared(job)
    path = _checkpoint(job)
    settings = _identity(job, prepared, path)
    run = identity(settings)
    names = (job.dataset.name, *(job.choices[group] for group in ("model", "attack", "defense")), run)
    folder = RunFolder(Path(job.runtime.output_dir).joinpath(*names))
    everything = hashed_order(prepared.clips, "test")
    order = everything[: job.runtime.limit]
    with folder.locked(waiting=f"{folder.path} is at work in another process: waiting for it"):
        summary = folder.summary()
        if summary and summary["done"] >= len(order):
            log(f"nothing to do: {summary['done']} of {summary['total']} clips are done in {folder.path}")
            return folder.path
        network = build_network(job.model.architecture, job.model.preprocess, job.dataset)
        about = load_weights(network, path)
        victim = Victim(network, job.defense, device)
        evaluation = Evaluation(
            **{name: getattr(job, name) for name in ("dataset", "attack", "targeted", "target", "seed", "batch_size")},
            prepared=prepared,
            victim=victim,
            constraints=job.constraint,
        )
        start, began, done = now(), time.monotonic(), folder.begin()
        label = f"{job.choices['attack']} on {job.choices['model']}, chunks of {job.batch_size}"
        evaluation.run(order, done, folder.append, lambda items, total: track(items, total, label))
        rows = len(done | set(order))
        folder.end(
            {
                **_facts(job, settings, run, device),
                "checkpoint_accuracy": about.get("test_accuracy"),
                "done": rows,
                "total": len(everything),
                "began": start,
                "skipped_files": len(prepared.skipped) if isinstance(prepared, Store) else 0,
                "ended": now(),
                "seconds": round(time.monotonic() - began, 1),
            }
        )
    return folder.path


def train(job: Job) -> None:
    """Train a victim by the configured recipe and write its weights, with what is known of them."""
    recipe = job.recipe
    if recipe is None:
        pair = f"model={job.choices['model']} dataset={job.choices['dataset']}"
        raise SettingError(f"no recipe for {pair}: choose one with recipe=...")
    device, prepared = job.runtime.torch_device(), _prepared(job)
    settings = {"recipe": asdict(recipe), "prepared": prepared.digest, **_model_settings(job), "seed": job.model.seed}
    training = identity(settings)
    path = Path(job.model.checkpoint or Path(job.runtime.checkpoint_dir) / _checkpoint_name(job))
    if path.exists():
        about = path.with_suffix(".json")
        if about.exists() and json.loads(about.read_text()).get("identity") == training:
            log(f"nothing to do: {path} was trained with these settings")
            return
        raise CheckpointError(f"{path} exists, trained otherwise: delete it or set model.checkpoint=PATH or model.seed")
    began, scratch = time.monotonic(), path.parent / f".{path.stem}-{training}.pt"

    def build() -> Network:
        return build_network(job.model.architecture, job.model.preprocess, job.dataset)

    network, progress = fit(
        build, job.dataset, prepared, recipe, seed=job.model.seed, device=device, scratch=scratch, log=log
    )
    assert isinstance(network, Network)
    if recipe.half:
        network.half().float()  # the accuracy below is that of the weights as they are stored
    hits = correct(network, job.dataset, prepared, hashed_order(prepared.clips, "test"), job.batch_size)
    facts = {
        **_facts(job, settings, training, device),
        "epochs": progress.chosen or recipe.epochs,
        "held_out_accuracy": progress.held_out[progress.chosen - 1] if progress.held_out else None,
        "test_accuracy": sum(hits) / len(hits),
        "test_clips": len(hits),
        "ended": now(),
        "seconds": round(time.monotonic() - began, 1),
    }
    save_weights(network, path, facts, half=recipe.half)
    scratch.unlink(missing_ok=True)
    log(f"test accuracy {100 * sum(hits) / len(hits):.2f} % ({sum(hits)} of {len(hits)} clips): {path}")


def prepare_data(job: Job) -> None:
    """Prepare a dataset and say what is in it."""
    prepared = _prepared(job)
    counts = {split: sum(clip.split == split for clip in prepared.clips) for split in ("train", "test")}
    skipped = prepared.skipped if isinstance(prepared, Store) else ()
    for name, reason in skipped:
        log(f"skipped {name}: {reason}")
    log(
        f"{job.dataset.name}: {counts['train']} training and {counts['test']} test clips of "
        f"{len(job.dataset.classes)} actions, {len(skipped)} skipped, digest {prepared.digest[:12]}"
    )


def _prepared(job: Job) -> Prepared:
    def progress(clips: Iterable[Clip], total: int) -> Iterable[Clip]:
        return track(clips, total, f"preparing {job.dataset.name}")

    prepared = prepare(job.dataset, Path(job.runtime.cache_dir), progress)
    if isinstance(prepared, Store) and prepared.skipped:
        names = ", ".join(name for name, _ in prepared.skipped)
        log(f"{len(prepared.skipped)} broken files are left out: {names} (task=prepare tells why)")
    return prepared


def _checkpoint_name(job: Job) -> str:
    return f"{job.dataset.name}/{job.choices['model']}_t{job.dataset.num_frames}_s{job.model.seed}.safetensors"


def _checkpoint(job: Job) -> Path:
    """The weights to load: as named, else those trained here, else those that come with the program."""
    if job.model.checkpoint:
        places = [Path(job.model.checkpoint)]
    else:
        package = Path(__file__).parent
        roots = (Path(job.runtime.checkpoint_dir), package / "checkpoints", package.parent / "outputs/checkpoints")
        places = [root / _checkpoint_name(job) for root in roots]
    for place in places:
        if place.is_file():
            return place
    hint = f"train it with: task=train model={job.choices['model']} dataset={job.choices['dataset']}"
    raise CheckpointError(f"model.checkpoint={places[0]} does not exist; {hint} model.seed={job.model.seed}")


def _model_settings(job: Job) -> dict[str, Any]:
    """What a model's numbers depend on, weights aside: its constructors and the shape of its input."""
    model, dataset = job.settings["model"], job.settings["dataset"]
    return {
        "model": {name: model[name] for name in ("architecture", "preprocess")},
        "dataset": {name: value for name, value in dataset.items() if name not in ("root", "on_error")},
    }


def _identity(job: Job, prepared: Prepared, checkpoint: Path) -> dict[str, Any]:
    """Every setting that can change a number of an attack's records."""
    return {
        **_model_settings(job),
        **{name: job.settings[name] for name in ("attack", "constraint", "defense", "targeted", "seed", "batch_size")},
        "target": job.target if job.targeted else None,
        "checkpoint": digest(checkpoint),
        "prepared": prepared.digest,
    }


def _facts(job: Job, settings: Mapping[str, Any], key: str, device: str) -> dict[str, Any]:
    return {
        "identity": key,
        "settings": dict(settings),
        "choices": dict(job.choices),
        "dataset": job.dataset.name,
        "stand_in": job.dataset.stand_in,
        "num_frames": job.dataset.num_frames,
        "num_classes": len(job.dataset.classes),
        "command": job.command,
        **provenance(device),
    }

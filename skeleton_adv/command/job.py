"""A configuration made into objects, where its weights lie, and the settings that make a run itself."""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from torch import nn

from skeleton_adv.attacks import Attack
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Range, Whole, check_call
from skeleton_adv.data.clips import Dataset, Prepared
from skeleton_adv.evaluation.targets import Target, resolve_class
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.folder import digest
from skeleton_adv.train.fit import Recipe


@dataclass(frozen=True)
class Runtime:
    """Where and how far to run; nothing here can change a number."""

    device: str = "auto"
    limit: Count | None = None
    save_clips: bool = False
    save_trace: bool = False
    workers: Count | None = None
    output_dir: str = "outputs/runs"
    cache_dir: str = "outputs/prepared"
    checkpoint_dir: str = "outputs/checkpoints"
    table_dir: str = "outputs/tables"
    figure_dir: str = "outputs/figures"
    export_dir: str = "outputs/files"

    def __post_init__(self) -> None:
        check_call(Runtime, vars(self), "runtime.")
        for name, value in vars(self).items():
            if isinstance(value, str) and not value.strip():
                raise SettingError(f"runtime.{name} is empty: give it a value or leave it out")

    @property
    def saving(self) -> bool:
        """Whether clips are kept; with their trace, they are too."""
        return self.save_clips or self.save_trace

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
    noise: NonNegative = 0.0  # of Gaussian noise in its training, in the clips' unit


@dataclass(frozen=True)
class Job:
    """A configuration made into objects; ``settings`` is the same as plain values, ``choices`` the options' names."""

    dataset: Dataset
    model: Model
    surrogate: Model | None  # what the attack is made on, if not on the model
    attack: Attack
    constraint: Mapping[str, Constraint]
    defense: Callable[[nn.Module], nn.Module]
    adaptive: bool
    recipe: Recipe | None
    task: Literal["attack", "certify", "train", "prepare", "export"]
    targeted: bool
    target: Target
    seed: Whole
    batch_size: Annotated[int, Range("[1, 4096]")]
    judgements: Count
    smoothing: Smoothing
    runtime: Runtime
    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    command: str

    def check(self) -> None:
        """Raise ``SettingError`` if a part is of the wrong kind."""
        for name, part in (("attack", self.attack), ("defense", self.defense), ("dataset", self.dataset.clips)):
            if not callable(part):
                raise SettingError(f"{name}={self.settings[name]} is none: choose one with {name}=...")
        for role, model in (("model", self.model), ("surrogate", self.surrogate)):
            for name in ("architecture", "preprocess"):
                if model is not None and not callable(getattr(model, name)):
                    raise SettingError(f"{role}.{name}={getattr(model, name)} is none")
        if self.dataset.num_frames >= WHOLE and self.dataset.test_crop != 1:
            raise SettingError(
                f"dataset.num_frames={self.dataset.num_frames} lays clips out as recorded, none of it cut away: "
                "add dataset.test_crop=1"
            )
        wanted = {"bone", "angle", "speed"}  # a record has a place for each of these
        kinds = {name: isinstance(constraint, Constraint) for name, constraint in self.constraint.items()}
        if {*kinds} != wanted or not all(kinds.values()):
            raise SettingError(
                f"constraint holds {sorted(kinds)}: it must hold bone, angle and speed, each a constraint"
            )


Role = Literal["model", "surrogate"]
GROUP = {"model": "model", "surrogate": "model@surrogate"}  # the names under which options are chosen
# Raised when a method gives other numbers, or rows of other columns, for the same settings.
REVISIONS = {"cw": 2, "pgd": 2, "certificate": 3}


def network_of(job: Job, role: Role) -> Model:
    """The model of a role; raises ``SettingError`` if there is none."""
    model: Model | None = getattr(job, role)
    if model is None:
        raise SettingError("there is no surrogate: choose one with model@surrogate=...")
    return model


def checkpoint_name(job: Job, role: Role = "model") -> str:
    """Where a checkpoint lies in a folder of checkpoints."""
    shape = f"t{job.dataset.num_frames}_k{len(job.dataset.classes)}"
    shape += f"_{job.dataset.space}" if job.dataset.space != "camera" else ""
    model = network_of(job, role)
    shape += f"_noise{model.noise:g}" if model.noise else ""
    return f"{job.dataset.name}/{job.choices[GROUP[role]]}_{shape}_s{model.seed}.safetensors"


def find_checkpoint(job: Job, role: Role = "model") -> Path:
    """The weights to load: as named, else those trained here, else those that come with the program."""
    model = network_of(job, role)
    if model.checkpoint:
        places = [Path(model.checkpoint)]
    else:
        package = Path(__file__).parents[1]
        roots = (Path(job.runtime.checkpoint_dir), package / "checkpoints", package.parent / "outputs/checkpoints")
        places = [root / checkpoint_name(job, role) for root in roots]
    for place in places:
        if place.is_file():
            return place
    if not all(job.choices[group].isidentifier() for group in (GROUP[role], "dataset")):  # typed, no option's name
        raise CheckpointError(
            f"{role}.checkpoint={places[0]} does not exist; train it with task=train and the same words"
        )
    hint = f"task=train model={job.choices[GROUP[role]]} dataset={job.choices['dataset']}"
    given = [word.lstrip("+") for word in shlex.split(job.command) if word.lstrip("+").startswith("dataset.")]
    hint = " ".join(
        [hint, *given, f"model.seed={model.seed}", *([f"model.noise={model.noise:g}"] if model.noise else [])]
    )
    raise CheckpointError(f"{role}.checkpoint={places[0]} does not exist; train it with: {hint}")


def model_settings(job: Job, role: Role = "model") -> dict[str, Any]:
    """What a model's numbers depend on, weights aside: its constructors and the shape of its input."""
    model, dataset = job.settings[role], job.settings["dataset"]
    return {
        role: {name: model[name] for name in ("architecture", "preprocess")},
        "dataset": {name: value for name, value in dataset.items() if name not in ("root", "on_error")},
    }


def run_settings(job: Job, prepared: Prepared, checkpoint: Path, surrogate: Path | None = None) -> dict[str, Any]:
    """Every setting that can change a number of an attack's records."""
    more: dict[str, Any] = {}
    if surrogate is not None:
        more |= {**model_settings(job, "surrogate"), "surrogate_checkpoint": digest(surrogate)}
    if job.choices["defense"] != "none":
        more |= {"adaptive": job.adaptive, "judgements": job.judgements}
    return {
        **more,
        **model_settings(job),
        **{name: job.settings[name] for name in ("constraint", "defense", "targeted", "seed", "batch_size")},
        "attack": _attack_settings(job.settings["attack"]),
        "target": target_name(job),
        "checkpoint": digest(checkpoint),
        "prepared": prepared.digest,
    }


def certificate_settings(job: Job, prepared: Prepared, checkpoint: Path) -> dict[str, Any]:
    """Every setting that can change a certificate."""
    return {
        **model_settings(job),
        **{name: job.settings[name] for name in ("defense", "smoothing", "seed")},
        "revision": REVISIONS["certificate"],
        "checkpoint": digest(checkpoint),
        "prepared": prepared.digest,
    }


def _attack_settings(attack: Mapping[str, Any]) -> dict[str, Any]:
    """An attack's settings, with saved clips known by their content, not by their place; and its revision."""
    revision = REVISIONS.get(str(attack["_target_"]).rpartition(".")[2])
    own = {**attack, "revision": revision} if revision else dict(attack)
    return own | {"path": SavedClips(Path(attack["path"])).digest()} if "path" in attack else own


def target_name(job: Job) -> str | None:
    """The target as one name, however it was given; None if untargeted."""
    if not job.targeted:
        return None
    if job.target in ("random", "least_likely"):
        return str(job.target)
    return job.dataset.classes[resolve_class(job.target, job.dataset.classes)]

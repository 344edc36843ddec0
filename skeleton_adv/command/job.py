"""A command as objects: the data, the networks, the task, and where files are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, Whole, check_call
from skeleton_adv.data.clips import Dataset
from skeleton_adv.runs.identity import NEUTRAL_OF_DATA
from skeleton_adv.runs.shards import Shard
from skeleton_adv.train.training import Training

Answers = dict[tuple[int, ...], Tensor]
Words = tuple[str, ...]  # of a job: its settings, as on a command line


@dataclass(frozen=True)
class Runtime:
    """Where and how far to run; nothing here can change a number."""

    device: str = "auto"
    limit: Count | None = None
    save_clips: bool = False
    save_trace: bool = False
    workers: Count | None = None
    shard: str | None = None
    dry_run: bool = False
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
                raise SettingError(f"runtime.{name} is empty: set a value or remove it")
        _ = self.part  # refused before work starts

    @property
    def part(self) -> Shard | None:
        """The shard, if the job is a part of a run; raises ``SettingError`` if there is no such part."""
        return None if self.shard is None else Shard.parse(self.shard)

    @property
    def saving(self) -> bool:
        """Whether clips are saved; saving the trace implies it."""
        return self.save_clips or self.save_trace

    def torch_device(self) -> str:
        """The device by torch's name; ``auto`` is a GPU if there is one, set to be deterministic."""
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
    """The settings of a network: its constructors, where its weights are, and the seed of its training."""

    architecture: Callable[..., nn.Module]
    preprocess: Callable[..., nn.Module]
    checkpoint: str | None = None
    seed: Whole = 0
    members: Sequence[str] | None = None  # of an ensemble: the options of its networks


@dataclass(frozen=True)
class Given:
    """A trained network that Python code passes in, instead of weights in a file.

    ``facts`` are those of ``tasks.weights.Weights.load``; ``digest`` covers the weights and the network's source.
    """

    network: nn.Module
    digest: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Role:
    """A network of a job: the victim, or the surrogate that an attack is made on."""

    key: str  # where its settings are: model or surrogate
    option: str  # the name by which it was chosen
    model: Model
    training: Training
    settings: Mapping[str, Any]  # of its constructors, as plain values
    given: Given | None = None
    members: tuple["Role", ...] = ()  # the networks of an ensemble

    @property
    def has_option(self) -> bool:
        """Whether it was chosen by an option's name, not by a typed ``_target_``."""
        return self.option.isidentifier()


class Task(Protocol):
    """The task of a command; its fields are the settings in ``conf/task/<name>.yaml``."""

    def run(self, job: "Job") -> Path | None:
        """Run the task; return the folder of the run, if there is one."""
        ...


class Launcher(Protocol):
    """Where the jobs of a command run, if not one after another in its own process."""

    def launch(self, sweep: Any, jobs: "Sequence[Words]") -> "list[Outcome]":
        """Run these jobs of a ``Sweep``, wait for them, and return what became of each; none stops the others."""
        ...


@dataclass
class Session:
    """State that the jobs of one command share."""

    # Predictions on clean clips, by victim and chunk, which the runs of a sweep share.
    clean: dict[str, Answers] = field(default_factory=dict)
    # What clean clips are usually like, by dataset.
    usual: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One command; ``settings`` is all of it as plain values, ``choices`` the names of the options."""

    name: str  # of the task
    task: Task
    dataset: Dataset
    victim: Role
    surrogate: Role | None
    runtime: Runtime
    settings: Mapping[str, Any]
    choices: Mapping[str, str]
    command: str
    launcher: Launcher | None = None
    sweep: Mapping[str, Any] | None = None  # that the job is a part of: what it sweeps, and how many jobs it has
    session: Session = field(default_factory=Session)

    def __post_init__(self) -> None:
        if self.dataset.num_frames >= WHOLE and self.dataset.test_crop != 1:
            raise SettingError(
                f"dataset.num_frames={self.dataset.num_frames} uses clips as recorded, without cropping: "
                "add dataset.test_crop=1"
            )

        if self.runtime.shard is not None and not hasattr(self.task, "plan"):
            raise SettingError(f"runtime.shard has no effect on task={self.name}: remove it")

    @property
    def roles(self) -> tuple[Role, ...]:
        """The networks of the job."""
        return (self.victim,) if self.surrogate is None else (self.victim, self.surrogate)

    @property
    def dataset_settings(self) -> dict[str, Any]:
        """The settings of the data that can change a clip."""
        kept = self.settings["dataset"].items()
        facts = dict(self.dataset.facts())
        settings = {
            name: value
            for name, value in kept
            if name not in ("root", "on_error") and (name, value) not in NEUTRAL_OF_DATA
        }
        return settings | ({"facts": facts} if facts else {})


@dataclass(frozen=True)
class Outcome:
    """What became of one job: its run's folder if it has one, or why it failed, in one line."""

    words: Words
    folder: Path | None = None
    error: str | None = None

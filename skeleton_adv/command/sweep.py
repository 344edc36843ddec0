"""The jobs of a command: one, or one for each combination of the values that it sweeps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from omegaconf import DictConfig, OmegaConf

from skeleton_adv.command import cli
from skeleton_adv.command.build import build_job, sweep_of
from skeleton_adv.command.compose import composed, each_of, fresh, open_folders, parse, split
from skeleton_adv.command.job import Job, Session, Task, Words
from skeleton_adv.core.errors import SettingError

OWN = ("hydra.mode", "hydra.sweeper.params")  # what is used of Hydra's settings


@dataclass(frozen=True)
class Sweep:
    """A command as jobs, each given by its words; ``typed`` are the words of the command line."""

    typed: list[str]
    jobs: list[Words]
    several: bool  # whether the command sweeps, even if it sweeps one value only
    params: Mapping[str, str]  # what an experiment's file sweeps

    @classmethod
    def of(cls, typed: list[str]) -> "Sweep":
        """The jobs of a command line that ``cli.check_arguments`` has accepted, in Hydra's order."""
        words, _ = split(typed)
        _check_hydra(words)
        folders = open_folders(typed)
        first = tuple(each_of(parse(word))[0] for word in words)
        hydra = composed(first, folders).hydra
        params = {str(key): str(value) for key, value in (hydra.sweeper.params or {}).items()}
        several = bool(cli.MULTIRUN & {*typed}) or (hydra.mode is not None and hydra.mode.name == "MULTIRUN")
        if not several:
            return cls(typed, [tuple(words)], False, {})
        listed = [f"{key}={value}" for key, value in params.items()] + split(cli.for_hydra(typed))[0]
        (jobs,) = BasicSweeper.split_arguments([parse(word) for word in listed], None)
        return cls(typed, [tuple(job) for job in jobs], True, params)

    def job(self, words: Words, find_task: Callable[[str], type[Task]], session: Session | None = None) -> Job:
        """One of the jobs, checked and built; raises ``SettingError`` as ``build_job`` does."""
        folders = open_folders(self.typed)
        config = (fresh if self.several else composed)(words, folders)
        plain = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        assert isinstance(plain, DictConfig)
        overrides = list(config.hydra.overrides.task)
        sweep = sweep_of(self.params, self.typed) if self.several else None
        choices = dict(config.hydra.runtime.choices)
        return build_job(plain, choices, overrides, self.typed, find_task, sweep, session)

    def label(self, words: Words) -> str:
        """What distinguishes a job from the others of its sweep."""
        keys = [{word.partition("=")[2] for word in column} for column in zip(*self.jobs, strict=True)]
        varied = [word for word, values in zip(words, keys, strict=True) if len(values) > 1]
        return " ".join(varied or words) or "the default run"


def _check_hydra(words: list[str]) -> None:
    """Raise ``SettingError`` for a setting of Hydra's that this program does not use."""
    for word in words:
        key = word.partition("=")[0].lstrip("+~")
        if key == "hydra/launcher":
            raise SettingError(f"{word} has no effect: choose launcher=joblib or launcher=slurm")
        if key.startswith(("hydra.", "hydra/")) and not key.startswith(OWN):
            raise SettingError(f"{word} has no effect here: remove it; of Hydra's settings, only {', '.join(OWN)} have")

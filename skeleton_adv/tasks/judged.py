"""The run whose saved clips a victim judges: ``attack=from_file`` and ``attack=projected``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import read_json
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.dataset import Label
from skeleton_adv.data.subjects import labelled
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.saved import run_with_clips


@dataclass(frozen=True)
class Origin:
    """The run in ``folder``, whose ``run.json`` is ``about``; its clips may have been attacked with other labels.

    Actions and subjects are labels of the same clips with the same numbers, so that a recogniser of actions can judge
    clips in which the subject was hidden, and the reverse. Their splits differ; only clips that are test clips in both
    are judged, because the victim may have learnt from the others.
    """

    folder: Path
    about: Mapping[str, Any]

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings with which the clips were made."""
        made: Mapping[str, Any] = self.about["settings"]
        return made

    @property
    def label(self) -> Label:
        """What the classes of the attacked network are."""
        found: Label = self.settings["dataset"].get("label", "action")
        return found

    def access(self, ours: Mapping[str, Any]) -> str:
        """The access of the attack to the victim that judges its clips; none if it saw another network.

        ``ours`` are the settings of the judging run.
        """
        same = all(self.settings.get(name) == ours.get(name) for name in ("checkpoint", "defense", "adaptive"))
        return str(self.about.get("access", "none")) if same and "surrogate" not in self.settings else "none"

    def facts(self) -> dict[str, Any]:
        """What the judging run records about it."""
        if isinstance(earlier := self.about.get("origin"), dict):  # it judges the saved clips of a third run
            return earlier
        choices, settings = self.about["choices"], self.settings
        attacked = "surrogate" if choices.get("model@surrogate") else "model"
        weights = {"model": "checkpoint", "surrogate": "surrogate_checkpoint"}[attacked]
        return {
            "run": self.about["identity"],
            "attack": choices.get("attack"),
            "settings": dict(settings["attack"]),
            "attacked": choices.get("model@surrogate" if attacked == "surrogate" else "model"),
            "weights": settings.get(weights),
            "dataset": self.about["dataset"],
            "label": self.label,
            "columns": [*self.about.get("columns", ())],
        }

    def check(self, ours: Mapping[str, Any]) -> None:
        """Raise ``RunError`` if the clips were made with other data or another goal than ``ours``."""
        theirs = {"split": "test", **self.settings}
        theirs |= {f"dataset.{name}": value for name, value in self.settings["dataset"].items()}
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise RunError(f"attack.path={self.folder} was made with {name}={theirs.get(name)}, not {value}")

    def common(self, numbers: Sequence[int], relabelled: Prepared) -> list[int]:
        """Those of ``numbers`` that are test clips of the attacked network too; ``relabelled``: with its labels."""
        return [number for number in numbers if relabelled.clips[number].split == "test"]

    def saved(self, numbers: Sequence[int]) -> list[int]:
        """Those of ``numbers`` whose clips are saved."""
        kept = SavedClips(self.folder).locations("x_adv")
        return [number for number in numbers if number in kept]


def origin_folder(path: Path, split: str) -> Path:
    """The folder of the run that ``attack.path`` names: itself, or the one below it with the most saved clips."""
    if (path / "run.json").exists() or (path / "clips").is_dir():
        return path
    found = run_with_clips(path, "attack.path", split).folder
    assert found is not None
    return found


def read_origin(folder: Path) -> Origin:
    """The finished run in ``folder``; raises ``RunError`` if it is not finished or does not state its settings."""
    if not (folder / "run.json").exists():
        raise RunError(f"attack.path={folder} is not a finished run: it contains no run.json")
    about = read_json(folder / "run.json")
    made, choices = about.get("settings"), about.get("choices")
    parts = [made.get(name) for name in ("dataset", "attack")] if isinstance(made, dict) else [None]
    named = [about.get(name) for name in ("identity", "dataset")]
    if not all(isinstance(part, dict) for part in [*parts, choices]) or not all(isinstance(one, str) for one in named):
        raise RunError(f"attack.path={folder}: its run.json does not say with which settings its clips were made")
    return Origin(folder, about)


def reading(job: Job, folder: Path) -> Job:
    """The job whose attack reads the clips in ``folder``."""
    return replace(job, settings={**job.settings, "attack": {**job.settings["attack"], "path": str(folder)}})


def with_label(job: Job, label: Label) -> Job:
    """The job with these labels of the same clips."""
    return replace(job, dataset=labelled(job.dataset, label))

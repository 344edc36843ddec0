"""Clips and courses of attacks that a run has kept, read for figures. No torch here."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from skeleton_adv.errors import RunError
from skeleton_adv.skeleton import SKELETONS, Skeleton
from skeleton_adv.summary import Run


@dataclass(frozen=True)
class Pair:
    """A clip before and after an attack, (C, T, V, M) each, with its record."""

    run: Run
    record: pd.Series
    x: np.ndarray
    x_adv: np.ndarray

    @property
    def skeleton(self) -> Skeleton:
        return SKELETONS[self.run.about["skeleton"]]

    @property
    def exists(self) -> np.ndarray:
        """(T, V, M) bool: a joint that does not exist lies at exactly 0."""
        there: np.ndarray = (self.x != 0).any(axis=0)
        return there

    @property
    def displacement(self) -> np.ndarray:
        """(T, V, M) how far each joint was moved, in the clips' unit."""
        coords = list(self.skeleton.coords)
        moved: np.ndarray = np.linalg.norm(self.x_adv[coords] - self.x[coords], axis=0)
        return moved

    def class_name(self, column: str) -> str:
        """The name of the class in a column of the record."""
        number = int(self.record[column])
        return str(self.run.about["classes"][number]) if number >= 0 else "none"


def has_clips(run: Run) -> bool:
    """Whether a run has kept clips."""
    return bool(_files(run))


def has_course(run: Run) -> bool:
    """Whether a run has kept the course of its attack for every clip."""
    files = _files(run)
    return bool(files) and all("trace.loss" in _read(file) for file in files)


def course(run: Run) -> pd.DataFrame:
    """Mean over clips of each term of the attack's objective, a row a step."""
    parts = [_read(file) for file in _files(run)]
    names = [name for name in parts[0] if name.startswith("trace.")]
    frame = pd.DataFrame(
        {name.removeprefix("trace."): np.concatenate([part[name] for part in parts]).mean(axis=0) for name in names}
    )
    frame.insert(0, "step", range(1, len(frame) + 1))
    return frame.assign(clips=sum(len(part["index"]) for part in parts), run=run.about["identity"])


def telling(run: Run, count: int) -> list[int]:
    """Numbers of up to ``count`` clips to show: right before, fooled, each of another action if possible."""
    rows = run.records
    rows = rows[rows["clean_correct"] & rows["success"] & (rows["label"] != rows["target"])]
    first, rest = rows.drop_duplicates("label"), rows[rows.duplicated("label")]
    return [int(number) for number in pd.concat([first, rest])["index"][:count]]


def pairs(run: Run, numbers: Sequence[int]) -> list[Pair]:
    """These clips of a run; raises ``RunError`` if it has not kept one of them."""
    found = {}
    for file in _files(run):
        part = _read(file)
        for row, number in enumerate(part["index"].tolist()):
            if number in numbers and {"x", "x_adv"} <= part.keys():
                record = run.records[run.records["index"] == number].iloc[0]
                found[number] = Pair(run, record, part["x"][row], part["x_adv"][row])
    missing = [number for number in numbers if number not in found]
    if missing:
        raise RunError(f"{run.folder} has not kept clip {missing[0]}: run it again with runtime.save_clips=true")
    return [found[number] for number in numbers]


def _files(run: Run) -> list[Path]:
    return sorted((run.folder / "clips").glob("*.safetensors")) if run.folder else []


def _read(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(file))
    except (SafetensorError, OSError) as error:
        raise RunError(f"{file} is damaged ({error}): delete it and give its run's command again") from None

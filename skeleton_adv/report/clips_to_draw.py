"""The saved clips and traces of a run, read for figures. No torch here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.skeleton import SKELETONS, Skeleton
from skeleton_adv.report.words import class_name
from skeleton_adv.runs.clips import PAIR, Location, SavedClips, read_row
from skeleton_adv.runs.load import Run


@dataclass(frozen=True)
class Pair:
    """A clip before and after an attack, (C, T, V, M) each, with its record."""

    run: Run
    record: pd.Series
    x: np.ndarray
    x_adv: np.ndarray
    exists: np.ndarray  # (T, V, M) bool

    @property
    def skeleton(self) -> Skeleton:
        return skeleton_of(self.run)

    @property
    def frames(self) -> list[int]:
        """The frames in which any joint exists, or all frames if none does."""
        found: list[int] = np.flatnonzero(self.exists.any(axis=(1, 2))).tolist()
        return found or list(range(len(self.exists)))

    @property
    def displacement(self) -> np.ndarray:
        """(T, V, M) the distance by which the attack moves each joint, in the clips' unit."""
        coords = list(self.skeleton.coords)
        moved: np.ndarray = np.linalg.norm(self.x_adv[coords] - self.x[coords], axis=0)
        return moved

    def class_name(self, column: str) -> str:
        """The name of the class in a column of the record."""
        return class_name(self.run, int(self.record[column]))


def skeleton_of(run: Run) -> Skeleton:
    """The body of a run's clips; raises ``RunError`` if it is neither known nor in ``run.json``."""
    if run.body is not None:
        return Skeleton.from_dict(run.body)
    if run.skeleton not in SKELETONS:
        raise RunError(
            f"{run.folder} has the skeleton {run.skeleton!r}, which is unknown, and its run.json has no body"
        )
    return SKELETONS[run.skeleton]


def has_clips(run: Run) -> bool:
    """Whether a run has saved clips."""
    return bool(_locations(run, *PAIR))


def saved_clips(run: Run) -> list[int]:
    """Numbers of the recorded clips that a run has saved."""
    saved = _locations(run, *PAIR)
    return [int(number) for number in run.records["index"] if number in saved]


def has_trace(run: Run) -> bool:
    """Whether a run has saved the trace of its attack for any clip."""
    return bool(_locations(run, "trace.loss"))


def mean_trace(run: Run) -> pd.DataFrame:
    """The mean over clips of each term of the attack's objective, one row per step."""
    saved = _locations(run, "trace.loss")
    names = [name for name in SavedClips(saved[min(saved)][0].parents[1]).names() if name.startswith("trace.")]
    terms = {name: [read_row(place, name) for _, place in sorted(saved.items())] for name in names}
    frame = pd.DataFrame({name.removeprefix("trace."): np.mean(rows, axis=0) for name, rows in terms.items()})
    frame.insert(0, "step", range(1, len(frame) + 1))
    return frame.assign(clips=len(saved), run=run.identity)


def examples(run: Run, count: int) -> list[int]:
    """Numbers of up to ``count`` saved clips that are correct before and fooled, of different classes if possible."""
    rows = run.records
    rows = rows[rows["clean_correct"] & rows["success"] & (rows["label"] != rows["target"])]
    rows = rows[rows["index"].isin([*_locations(run, *PAIR)])]
    first, rest = rows.drop_duplicates("label"), rows[rows.duplicated("label")]
    return [int(number) for number in pd.concat([first, rest])["index"][:count]]


def find_clip(run: Run, clip: str) -> list[int]:
    """The number of the saved clip with this name or number, as a list of one or none."""
    rows = run.records[run.records["index"].isin([*_locations(run, *PAIR)])]
    return [int(number) for number in rows[(rows["name"] == clip) | (rows["index"].astype(str) == clip)]["index"]]


def load_pairs(run: Run, numbers: Sequence[int]) -> list[Pair]:
    """These clips of a run; raises ``RunError`` for a clip that it has not saved."""
    saved, found = _locations(run, *PAIR), []
    for number in numbers:
        if number not in saved:
            raise RunError(f"{run.folder} has not saved clip {number}: run it again with runtime.save_clips=true")
        x, x_adv, mask = (read_row(saved[number], name) for name in PAIR)
        record = run.records[run.records["index"] == number].iloc[0]
        found.append(Pair(run, record, x, x_adv, mask[0].astype(bool)))
    return found


def seconds_per_frame(run: Run, numbers: Sequence[int]) -> list[float | None]:
    """The time between two frames of each of these clips; None if the run has not saved it."""
    saved = _locations(run, "dt")
    return [float(read_row(saved[number], "dt")) if number in saved else None for number in numbers]


def _locations(run: Run, *names: str) -> Mapping[int, Location]:
    """The locations of the clips of which a run has saved all these arrays."""
    return SavedClips(run.folder).locations(*names) if run.folder else {}

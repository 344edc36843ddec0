"""Several attacks on the same clips of one victim: the worst case per clip, and the shortest perturbation found."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run

NEAR = 1.1  # a perturbation counts as near the shortest if it is at most this many times as long


def victim_of(run: Run) -> Any:
    """The defended victim, the data and the goal of a run; equal for runs that can be compared clip by clip."""
    parts = (run.victim, run.weights, run.defense, sorted(run.of_defense.items()), run.prepared, run.targeted)
    targets = (run.target, run.settings.get("seed")) if run.targeted else ()  # random targets depend on the seed
    return repr((*parts, targets, run.num_frames, run.space))


def by_victim(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each victim, in the order of the victims' first runs."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(victim_of(run), []).append(run)
    return [*groups.values()]


def comparable(runs: Sequence[Run]) -> list[Run]:
    """The runs that have at least half as many clips as the longest; a shorter one would shrink the common clips."""
    most = max((len(run.records) for run in runs), default=0)
    return [run for run in runs if 2 * len(run.records) >= most]


@dataclass(frozen=True)
class Paired:
    """The clips that all of these runs on one victim attack, and which of them are correct before."""

    runs: Sequence[Run]

    @cached_property
    def clips(self) -> np.ndarray:
        """(n,) the numbers of the clips that all runs have."""
        common = set.intersection(*({*run.array("index").tolist()} for run in self.runs))
        return np.array(sorted(common), dtype=np.int64)

    def column(self, run: Run, name: str) -> np.ndarray:
        """(n,) the values of a column for these clips."""
        places = np.searchsorted(run.array("index"), self.clips)  # rows are in the order of the dataset
        values: np.ndarray = run.array(name)[places]
        return values

    @cached_property
    def right(self) -> np.ndarray:
        """(n,) bool: clips that are correct before every attack and not of the target class."""
        right = np.stack([self.column(run, "clean_correct").astype(bool) for run in self.runs])
        aimed = np.stack([self.column(run, "label") != self.column(run, "target") for run in self.runs])
        both: np.ndarray = (right & aimed).all(axis=0)
        return both

    def succeeded(self, run: Run, inside: bool = True) -> np.ndarray:
        """(n,) bool: clips on which a run succeeds; ``inside``: within all constraints."""
        found: np.ndarray = self.column(run, "success").astype(bool)
        if inside:
            found = found & self.column(run, "feasible").astype(bool)
        return found

    @cached_property
    def hits(self) -> np.ndarray:
        """(runs, n) bool: success within the constraints, on clips that are correct before."""
        fooled: np.ndarray = np.stack([self.succeeded(run) for run in self.runs])
        fooled &= self.right
        return fooled

    @property
    def worst_case(self) -> Rate:
        """The share of the clips that stay correct under every attack, among those that are correct before."""
        fooled: np.ndarray = self.hits.max(axis=0)
        return rate(~fooled[self.right])

    def rate(self, place: int) -> Rate:
        """The success of one of the runs on clips that are correct before."""
        return rate(self.hits[place][self.right])

    def alone(self, place: int) -> int:
        """The number of clips that only this run fools."""
        return int((self.hits[place] & ~np.delete(self.hits, place, axis=0).any(axis=0)).sum())

    def lengths(self, norm: str) -> np.ndarray:
        """(runs, n) the norms of successful perturbations, infinite for failures; lengths in the unit of the clips."""
        column, unit = {"l0": ("joint_frames", 1), "rms": ("rms_mm", 1000)}.get(norm, (norm, 1))
        return np.stack(
            [np.where(self.succeeded(run, inside=False), self.column(run, column) / unit, np.inf) for run in self.runs]
        )


def median(values: np.ndarray) -> float:
    """The median of values that may be infinite; NaN if there are none."""
    return quantile(values, 0.5)


def quantile(values: np.ndarray, share: float) -> float:
    """The smallest value that at least this share of the values do not exceed; NaN if there are none."""
    return float(np.sort(values)[max(math.ceil(share * len(values)) - 1, 0)]) if len(values) else float("nan")


def median_interval(values: np.ndarray) -> tuple[float, float]:
    """A 95 % interval of the median of lengths, from order statistics: it assumes nothing about their distribution.

    With fewer than six values, it is from 0 to infinity.
    """
    from scipy.stats import binom

    below = int(binom.ppf(0.025, len(values), 0.5))  # fewer values lie below the median in less than 2.5 % of samples
    padded = np.concatenate([[0], np.sort(values), [np.inf]])
    return float(padded[below]), float(padded[len(padded) - 1 - below])

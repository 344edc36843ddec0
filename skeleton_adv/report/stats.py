"""Records of a run -> its rates, with counts and intervals, and its measures. Pure functions; no torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_adv.runs.load import Run


@dataclass(frozen=True)
class Rate:
    """A share of clips with its count and 95 % Wilson interval."""

    hits: float  # whole for a victim without noise; otherwise the sum of shares of judgements
    count: int

    @property
    def value(self) -> float:
        return self.hits / self.count if self.count else float("nan")

    def __float__(self) -> float:
        return self.value

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return float("nan"), float("nan")
        z, n, p = 1.959963984540054, self.count, self.value
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return (low if self.hits else 0.0), (high if self.hits < n else 1.0)

    def columns(self, key: str) -> dict[str, Any]:
        """Its value, count and interval as columns of a CSV."""
        low, high = self.interval
        ends = {f"{key}_low": low, f"{key}_high": high}
        return {key: self.value, f"{key}_hits": self.hits, f"{key}_clips": self.count, **ends}


@dataclass(frozen=True)
class Spread:
    """Mean and median over clips of a maximum within each clip."""

    mean: float
    median: float

    def columns(self, key: str) -> dict[str, Any]:
        return {f"{key}_mean": self.mean, f"{key}_median": self.median}


def rate(hits: np.ndarray) -> Rate:
    """The rate of ``hits`` (N,): whether each clip counts, or the share of judgements by which it counts."""
    total = float(hits.sum())
    return Rate(int(total) if total.is_integer() else total, len(hits))


def mean(values: np.ndarray) -> float:
    """Mean of the values that are not NaN; NaN if there are none."""
    values = values[~np.isnan(values)] if values.dtype.kind == "f" else values
    return float(values.mean()) if len(values) else float("nan")


def spread(values: np.ndarray) -> Spread:
    """Mean and median of the values that are not NaN."""
    values = values[~np.isnan(values)]
    return Spread(float(values.mean()), float(np.median(values))) if len(values) else Spread(math.nan, math.nan)


def clean_accuracy(run: Run) -> Rate:
    """Accuracy of the victim before the attack, over all clips."""
    return rate(run.array("clean_share"))


def attack_rate(run: Run, column: str, right_only: bool = False, feasible: bool = False) -> Rate:
    """A rate over the clips on which the attack can fail: all of them, or those that are correct before.

    A clip that a victim with noise judges several times counts by the share of judgements. ``feasible``: only
    clips that satisfy every constraint count as hits.
    """
    chosen = run.aimed & run.array("clean_correct") if right_only else run.aimed
    hits = run.array(column)
    return rate((hits * run.array("feasible") if feasible else hits)[chosen])


def rates(run: Run) -> dict[str, Rate]:
    """Accuracy before and after; success and feasible success, over all clips and over those correct before.

    In targeted runs, clips whose label is the target are left out, except from clean accuracy. ``found`` is the
    success that the attack reports; ``noise_success`` is that of Gaussian noise with each adversarial clip's l2.
    """
    return {
        "clean_accuracy": clean_accuracy(run),
        "adv_accuracy": attack_rate(run, "adv_share"),
        "found": attack_rate(run, "found"),
        "success": attack_rate(run, "success_share"),
        "noise_success": attack_rate(run, "control_share"),
        "success_if_right": attack_rate(run, "success_share", right_only=True),
        "feasible_success": attack_rate(run, "success_share", feasible=True),
        "feasible_success_if_right": attack_rate(run, "success_share", right_only=True, feasible=True),
    }


def measure(run: Run, column: str) -> float:
    """Mean of a column over the measured clips, which exclude diverged ones and those of the target's class."""
    return mean(run.array(column)[run.measured])


def maximum(run: Run, column: str) -> Spread:
    """Mean and median of a per-clip maximum over the measured clips."""
    return spread(run.array(column)[run.measured])


def without_motion(run: Run) -> int:
    """How many measured clips have no motion, and so no relative change of kinetic energy."""
    return int(np.isnan(run.array("kinetic")[run.measured]).sum())


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return found

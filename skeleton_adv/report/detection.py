"""Rows of detections -> AUC with its interval, false alarms, and alarms. Pure functions of records."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from skeleton_adv.report.columns import Row, has
from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run

Z = 1.959963984540054
DETECTED = 0.95  # of the adversarial clips, at which false alarms are counted


@dataclass(frozen=True)
class Area:
    """The area under a ROC curve: the share of pairs of a natural and an adversarial clip that are in order."""

    value: float
    natural: int
    adversarial: int

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % score interval of Newcombe (Statistics in Medicine 25, 2006, method 5).

        The variance is that of Hanley and McNeil at the end of the interval, so that an area of 0 or 1 has an interval
        too. It assumes independent samples. Natural and adversarial clips are the same clips here: it is too wide if
        the score of a clip after the attack rises with its score before, and too narrow if it falls.
        """
        if not self.natural or not self.adversarial:
            return math.nan, math.nan
        return self._end(0.0), self._end(1.0)

    def columns(self, key: str) -> dict[str, Any]:
        """Its value, interval and counts as columns of a CSV."""
        low, high = self.interval
        counts = {f"{key}_natural": self.natural, f"{key}_adversarial": self.adversarial}
        return {key: self.value, f"{key}_low": low, f"{key}_high": high, **counts}

    def _end(self, limit: float) -> float:
        """The value furthest towards ``limit`` that the area does not contradict, by bisection."""
        inside, outside = self.value, limit
        for _ in range(60):
            middle = (inside + outside) / 2
            near = abs(self.value - middle) <= Z * math.sqrt(self._variance(middle))
            inside, outside = (middle, outside) if near else (inside, middle)
        return inside

    def _variance(self, area: float) -> float:
        mean = (self.natural + self.adversarial) / 2 - 1
        both = mean * ((1 - area) / (2 - area) + area / (1 + area))
        return area * (1 - area) * (1 + both) / (self.natural * self.adversarial)


def area(natural: np.ndarray, adversarial: np.ndarray) -> Area:
    """The area under the ROC curve of scores (n,) and (m,); ties count one half (Mann and Whitney)."""
    if not len(natural) or not len(adversarial):
        return Area(math.nan, len(natural), len(adversarial))
    order = np.sort(natural)
    below, up_to = (np.searchsorted(order, adversarial, side=side) for side in ("left", "right"))
    share = float((below + up_to).mean()) / 2 / len(natural)
    return Area(share, len(natural), len(adversarial))


def counted(run: Run) -> np.ndarray:
    """(N,) bool: clips that are correct before, whose label is no target, and that the attack fools."""
    found: np.ndarray = run.array("clean_correct") & run.aimed & run.array("success")
    return found


def scores(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """The scores of natural and of adversarial clips: of the same clips, which the attack fools."""
    chosen = counted(run)
    return run.array("clean_score")[chosen], run.array("adv_score")[chosen]


def auc(run: Run) -> dict[str, Any]:
    """The area under the ROC curve with its interval."""
    return area(*scores(run)).columns("auc")


def false_alarms(run: Run, detected: float = DETECTED) -> Rate | None:
    """Natural clips with an alarm, at the highest threshold that detects this share of adversarial clips.

    A clip raises an alarm if its score is at least the threshold. None without adversarial clips.
    """
    natural, adversarial = scores(run)
    if not len(adversarial):
        return None
    least = np.sort(adversarial)[::-1][math.ceil(detected * len(adversarial)) - 1]
    return rate(natural >= least)


def detected(run: Run) -> Rate:
    """Alarms among the adversarial clips, at the threshold of held-out natural clips."""
    return rate(run.array("adv_alarm")[counted(run)])


def alarms(run: Run) -> Rate:
    """Alarms among all natural clips that are correct before, at the same threshold."""
    return rate(run.array("clean_alarm")[run.array("clean_correct")])


def undetected(run: Run) -> Rate:
    """Clips that fool the victim and raise no alarm, among those that are correct before and whose label is no target.

    This is the success of an attack on a victim with a detector.
    """
    return rate((run.array("success") & ~run.array("adv_alarm"))[run.array("clean_correct") & run.aimed])


def success(run: Run) -> Rate:
    """Clips that fool the victim, among the same clips."""
    return rate(run.array("success")[run.array("clean_correct") & run.aimed])


def auc_cell(row: Row, key: str) -> str:
    """An area with its interval and the number of clips."""
    if not has(row, key):
        return ""
    return f"{row[key]:.3f} [{row[f'{key}_low']:.3f}, {row[f'{key}_high']:.3f}] ({row[f'{key}_adversarial']:.0f})"


def detector_name(run: Run) -> str:
    """The detector, with its representatives and distance if it has them."""
    own = run.of_detector
    parts = (str(own[name]) for name in ("representative", "distance") if name in own)
    return " ".join((str(run.choices["detector"]), *parts))


def fitted_on(run: Run) -> str:
    """The attacks that the detector is fitted on, and whether the judged one is among them."""
    fit = run.settings["fit_on"]
    if not fit:
        return "natural clips"
    seen = run.settings["judged"]["run"] in {one["run"] for one in fit}
    return f"{', '.join(sorted({one['attack'] for one in fit}))} ({'seen' if seen else 'unseen'})"

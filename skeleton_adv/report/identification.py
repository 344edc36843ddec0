"""Rows of identifications -> ranks, verification at a threshold, and distances. Pure functions of records."""

from functools import cache
from typing import Any

import numpy as np

from skeleton_adv.report.stats import Rate, mean, rate
from skeleton_adv.runs.load import Run

ACCEPTED = 0.01  # of the impostors, by which a stricter threshold is chosen


def distances(run: Run, what: str) -> np.ndarray:
    """(N, K) distances of the ``clean`` or the adversarial (``adv``) clips to all templates."""
    count = sum(name.startswith(f"{what}_to_") for name in run.columns)
    found: np.ndarray = np.stack([run.array(f"{what}_to_{k}") for k in range(count)], axis=1).astype(float)
    return found


def genuine(run: Run, what: str) -> np.ndarray:
    """(N,) distances to the template of the clip's own identity."""
    found: np.ndarray = distances(run, what)[np.arange(len(run.records)), run.array("identity")]
    return found


def impostors(run: Run) -> np.ndarray:
    """(N (K - 1),) distances of clean clips to the templates of other identities."""
    found = distances(run, "clean")
    other: np.ndarray = np.ones(found.shape, dtype=bool)
    other[np.arange(len(found)), run.array("identity")] = False
    wrong: np.ndarray = found[other]
    return wrong


def equal_error(own: np.ndarray, others: np.ndarray) -> tuple[float, float]:
    """The equal error rate of a verification, and its threshold: pairs at most this far apart are accepted.

    ``own`` (n,) and ``others`` (m,) are distances of genuine and impostor pairs. At the threshold, one of these
    distances, the two error rates are nearest to each other; the equal error rate is their mean.
    """
    steps = np.unique(np.concatenate([own, others]))
    rejected = 1 - np.searchsorted(np.sort(own), steps, side="right") / len(own)
    accepted = np.searchsorted(np.sort(others), steps, side="right") / len(others)
    best = int(np.abs(rejected - accepted).argmin())
    return float(rejected[best] + accepted[best]) / 2, float(steps[best])


def strict(others: np.ndarray, share: float = ACCEPTED) -> float:
    """The largest threshold at which no more than this share of impostor distances (m,) is accepted."""
    ranked = np.sort(others)
    allowed = int(np.floor(share * len(ranked)))
    return float(np.nextafter(ranked[allowed], -np.inf)) if allowed < len(ranked) else np.inf


@cache
def _threshold(run: Run) -> float:
    return equal_error(genuine(run, "clean"), impostors(run))[1]


def error_rate(run: Run) -> dict[str, Any]:
    """The equal error rate of clean clips, and its threshold."""
    value, threshold = equal_error(genuine(run, "clean"), impostors(run))
    return {"eer": value, "eer_threshold": threshold}


def identified(run: Run, what: str) -> Rate:
    """Clips whose nearest template is that of their identity; adversarial ones among those identified before."""
    before = run.array("clean_nearest") == run.array("identity")
    return rate(before) if what == "clean" else rate((run.array("adv_nearest") == run.array("identity"))[before])


def misled(run: Run) -> Rate:
    """Adversarial clips whose nearest template is that of the identity that the attack leads to."""
    led = run.array("claimed") >= 0
    return rate((run.array("adv_nearest") == run.array("claimed"))[led])


def verified(run: Run, what: str) -> Rate:
    """Genuine pairs that are accepted at a threshold by which 1 % of the clean impostors are."""
    return rate(genuine(run, what) <= strict(impostors(run)))


def rejected(run: Run, what: str) -> Rate:
    """Evading: genuine pairs that are rejected at the threshold of the equal error rate."""
    return rate(~(genuine(run, what) <= _threshold(run)))


def impersonating(run: Run, what: str) -> Rate:
    """Pairs with the identity that the attack leads to that are accepted at the threshold of the equal error rate."""
    return rate(_claimed(run, what) <= _threshold(run))


def to_claimed(run: Run) -> float:
    """Mean distance of adversarial clips to the template of the identity that the attack leads to."""
    return mean(_claimed(run, "adv"))


def to_own(run: Run) -> float:
    """Mean distance of clean clips to their own template."""
    return mean(genuine(run, "clean"))


def _claimed(run: Run, what: str) -> np.ndarray:
    led = run.array("claimed") >= 0
    found: np.ndarray = distances(run, what)[led, run.array("claimed")[led]]
    return found

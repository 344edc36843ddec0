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

    ``own`` (n,) and ``others`` (m,) are distances of genuine and impostor pairs. Between two of these distances both
    error rates are constant. The threshold is the middle of the range in which they are nearest to each other; the
    equal error rate is their mean.
    """
    steps = np.unique(np.concatenate([own, others]))
    rejected = 1 - np.searchsorted(np.sort(own), steps, side="right") / len(own)
    accepted = np.searchsorted(np.sort(others), steps, side="right") / len(others)
    apart = np.abs(rejected - accepted)
    best = np.flatnonzero(np.isclose(apart, apart.min(), rtol=0, atol=1e-9))
    end = min(best[-1] + 1, len(steps) - 1)  # the last rates hold up to the next distance
    threshold = float(steps[best[0]] + steps[end]) / 2
    return float((own > threshold).mean() + (others <= threshold).mean()) / 2, threshold


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
    """Adversarial clips whose nearest template is that of the identity that the attack leads to.

    Of the clips that can be led there: those with another identity that are identified before.
    """
    led = _known(run) & (run.array("clean_nearest") == run.array("identity"))
    return rate((run.array("adv_nearest") == run.array("claimed"))[led])


def verified(run: Run, what: str) -> Rate:
    """Genuine pairs that are accepted at a threshold by which 1 % of the clean impostors are."""
    return rate(genuine(run, what) <= strict(impostors(run)))


def rejected(run: Run) -> Rate:
    """Evading: genuine pairs that the attack has rejected, among those that are accepted before."""
    return rate(~_accepted(run, "adv")[_accepted(run, "clean")])


def rejected_before(run: Run) -> Rate:
    """Genuine pairs of clean clips that are rejected."""
    return rate(~_accepted(run, "clean"))


def impersonating(run: Run) -> Rate:
    """Attacked clips that are accepted as the identity that the attack leads to.

    Among all clips whose own identity is another, that are accepted as their own before and not as the other. A clip
    that the attack leads to no identity counts as a failure.
    """
    return rate(_impersonates(run, "adv")[_may_impersonate(run)])


def impersonating_before(run: Run) -> Rate:
    """Clean clips that are accepted as that identity, among those that are accepted as their own."""
    return rate(_impersonates(run, "clean")[_accepted(run, "clean") & _known(run)])


def to_claimed(run: Run) -> float:
    """Mean distance of adversarial clips to the template of the identity that the attack leads to."""
    return mean(_to_claimed(run, "adv")[run.array("claimed") >= 0])


def to_own(run: Run) -> float:
    """Mean distance of clean clips to their own template."""
    return mean(genuine(run, "clean"))


def _accepted(run: Run, what: str) -> np.ndarray:
    """(N,) bool: genuine pairs that are accepted at the threshold of the equal error rate."""
    found: np.ndarray = genuine(run, what) <= _threshold(run)
    return found


def _known(run: Run) -> np.ndarray:
    """(N,) bool: clips on which the attack can lead to another identity.

    The target of a targeted attack may be the clip's own identity, or none with a template.
    """
    if run.settings["of"] == "actions" and run.targeted:
        led: np.ndarray = run.array("claimed") >= 0
        return led
    return np.ones(len(run.records), dtype=bool)


def _may_impersonate(run: Run) -> np.ndarray:
    found: np.ndarray = _accepted(run, "clean") & _known(run) & ~_impersonates(run, "clean")
    return found


def _impersonates(run: Run, what: str) -> np.ndarray:
    """(N,) bool: clips that are accepted as the identity that the attack leads to; not those that it leads to none."""
    found: np.ndarray = (run.array("claimed") >= 0) & (_to_claimed(run, what) <= _threshold(run))
    return found


def _to_claimed(run: Run, what: str) -> np.ndarray:
    """(N,) distances to the template of the identity that the attack leads to; of no meaning where there is none."""
    found: np.ndarray = distances(run, what)[np.arange(len(run.records)), run.array("claimed")]
    return found

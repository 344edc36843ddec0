"""Certificates of a finished run -> certified accuracy by radius. Pure functions of records."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd

from skeleton_adv.report.columns import Row, has
from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run

Form = Literal["standard", "paper"]
FORMS: tuple[Form, ...] = ("standard", "paper")  # by Cohen et al., and by Zheng et al.
RADII = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # one column of the table each


def clip_rate(run: Run, column: Literal["clean_correct", "abstained"]) -> Rate | None:
    """The rate of clips that the victim classifies correctly without noise, or on which the certificate abstains.

    None for abstentions of a run that decides given radii only.
    """
    return None if column == "abstained" and run.decided else rate(run.array(column))


def known_accuracy(run: Run, radius: float, form: Form = "standard") -> Rate | None:
    """The certified accuracy at a radius; None if the run decides other radii, or has no such form."""
    if run.decided and (form == "paper" or radius not in run.decided):
        return None
    return certified_accuracy(run, radius, form)


def certified_accuracy(run: Run, radius: float, form: Form = "standard") -> Rate:
    """The rate of clips that are certified as their true class within ``radius``.

    Abstentions and wrong classes count as failures, as in Cohen et al. (arXiv 1902.02918).
    """
    if form == "paper":
        return rate(run.array("paper_radius") >= radius)
    return rate(run.array("correct") & (run.array("radius") >= radius))


def mean_radius(run: Run, column: Literal["radius", "rms_mm"] = "radius") -> float | None:
    """Mean certified radius; wrong classes and abstentions count as 0 (Zhai et al., arXiv 2001.02378).

    None for a run that decides given radii only.
    """
    return None if run.decided else float(np.mean(run.array(column) * run.array("correct")))


def accuracy_by_radius(run: Run, radii: Sequence[float], form: Form = "standard") -> pd.DataFrame:
    """Certified accuracy and its 95 % Wilson interval at each radius."""
    rows = []
    for radius in radii:
        found = certified_accuracy(run, radius, form)
        low, high = found.interval
        rows.append({"radius": radius, "accuracy": found.value, "low": low, "high": high, "clips": found.count})
    return pd.DataFrame(rows).assign(sigma=float(run.smoothing["sigma"]), form=form, run=run.identity)


def training_noise_cell(row: Row, key: str) -> str:
    """The cell of the noise with which a victim was trained."""
    return f"{row[key]:g}" if has(row, key) else "unknown"

"""Certificates in the body's terms: certified accuracy by percent of bone length, degrees of yaw, and millimetres."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run


class Change(NamedTuple):
    """A kind of change: the column of a run that bounds it, what it is in words, and the values of a table."""

    column: str
    label: str
    short: str
    values: tuple[float, ...]


CHANGES = (
    Change("bone_percent", "all bone lengths, one factor each, ± %", "bones ±{:g} %", (1, 5, 10)),
    Change("yaw_degrees", "yaw of the clip, ± degrees", "yaw ±{:g}°", (5, 15, 30)),
    Change("hz1_mm", "motion of 1 Hz of all joints, mm rms", "1 Hz, {:g} mm", (1, 5, 10)),
    Change("constant_mm", "offset of all joints, mm rms", "offset, {:g} mm", (1, 5, 10)),
    Change("scale_percent", "body size, ± %", "size ±{:g} %", (5, 10)),
    Change("jitter_mm", "jitter of all joints, mm rms", "jitter, {:g} mm", (1,)),
)


def speaks_of(run: Run, column: str) -> bool:
    """Whether a run certifies changes of this kind."""
    return column in run.records and bool(np.isfinite(run.array(column).astype(float)).any())


def certified_within(run: Run, column: str, limit: float) -> Rate | None:
    """The rate of clips that are certified as their true class for every such change up to ``limit``; None: unknown.

    Abstentions and wrong classes count as failures. A clip of which the certificate says nothing counts as one too.
    """
    if run.decided or not speaks_of(run, column):
        return None
    return rate(run.array("correct") & (run.array(column).astype(float) >= limit))


def accuracy_by_change(run: Run, column: str, limits: list[float]) -> pd.DataFrame:
    """Certified accuracy and its 95 % Wilson interval at each limit of a change."""
    rows = []
    for limit in limits:
        found = certified_within(run, column, limit)
        assert found is not None
        low, high = found.interval
        rows.append({"change": column, "limit": limit, "accuracy": found.value, "low": low, "high": high})
    return pd.DataFrame(rows).assign(
        clips=len(run.records), space=run.noise_space, sigma=float(run.smoothing["sigma"]), run=run.identity
    )


def median_within(run: Run, column: str) -> float | None:
    """The median over clips of the certified change; wrong classes and abstentions count as 0."""
    if run.decided or not speaks_of(run, column):
        return None
    return float(np.median(np.nan_to_num(run.array(column).astype(float)) * run.array("correct")))


def noise_text(run: Run) -> str:
    """The noise of a certificate in words."""
    words = {"joints": "each coordinate (ℓ2)", "correlated": "coordinates, correlated in time", "dct": "slow motion"}
    words |= {"bones_yaw": "bone lengths and yaw", "joints_yaw": "coordinates and yaw", "scale": "body size"}
    words |= {"bones": "bone lengths", "correlated_yaw": "correlated coordinates and yaw", "offset": "constant offsets"}
    return words.get(run.noise_space, run.noise_space)

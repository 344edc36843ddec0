"""How plausible the motion of adversarial clips is, attack by attack."""

from functools import partial
from typing import Any

import numpy as np

from skeleton_adv.report.columns import (
    ACCESS,
    CLIPS,
    DEFENSE,
    GOAL,
    METHOD,
    RMS,
    SUCCESS_IF_RIGHT,
    SURROGATE,
    VICTIM,
    Column,
    Row,
    has,
    number_cell,
)
from skeleton_adv.report.stats import measure
from skeleton_adv.report.table import Table
from skeleton_adv.runs.load import Run

NOTES = {
    "jerk": ("jerk", "Jerk: mean norm of the third derivative of the joints' positions."),
    "high_frequency": (
        "high frequencies",
        "High frequencies: the share of the motion's power in the upper third below the Nyquist frequency.",
    ),
    "skate": (
        "foot skate",
        "Foot skate: mean horizontal speed of the feet while the clean clip's feet are on the floor.",
    ),
    "pose_distance": (
        "distance to training poses",
        "Distance to training poses: root mean square over joints to the nearest pose, with root and heading "
        "aligned, as a share of the body's size; the mean over frames.",
    ),
}
BESIDE = (
    "For each measure: its mean ratio to the 95th percentile of the clean test clips of the clip's class, and its mean "
    "percentile among them, next to that of the clean clip itself."
)


def _ratio(run: Run, name: str) -> dict[str, Any]:
    """The mean ratio of a measure over measured clips, and its mean percentiles."""
    if f"{name}_ratio" not in run.columns:
        return {}
    return {f"{name}{end}": measure(run, f"{name}{end}") for end in ("_ratio", "_percentile", "_clean_percentile")}


def _cell(row: Row, key: str) -> str:
    """The ratio, and the percentile next to that of the clean clips."""
    if not has(row, key):
        return ""
    name = key.removesuffix("_ratio")
    after, before = (row[f"{name}{end}"] for end in ("_percentile", "_clean_percentile"))
    return f"{row[key]:.2f} ({after:.0f} %, clean {before:.0f} %)"


def _beyond(run: Run) -> Any:
    """The share of the clips in which an angle is outside its range in the training clips."""
    if "limit_excess" not in run.columns:
        return {}
    return float(np.mean(run.array("limit_excess")[run.measured] > 0))


TABLE = Table(
    name="benchmark_plausibility",
    title="Plausibility of adversarial clips",
    takes=lambda run: run.kind == "attack" and "jerk_ratio" in run.columns,
    lead=(VICTIM, DEFENSE, GOAL, ACCESS, SURROGATE, *METHOD),
    columns=(
        CLIPS,
        *(
            Column(f"{name}_ratio", head, partial(_ratio, name=name), _cell, f"{BESIDE} {note}", always=True)
            for name, (head, note) in NOTES.items()
        ),
        Column(
            "beyond_limits",
            "clips beyond joint limits, %",
            _beyond,
            number_cell(".1f", 100),
            "Beyond joint limits: an angle is outside its range in all training clips.",
            always=True,
        ),
        RMS,
        SUCCESS_IF_RIGHT,
    ),
)

"""Verdicts of a finished run of ``task=gap`` -> shares of clips. Pure functions of records."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.load import Run

Verdict = Literal["certified", "unknown", "abstains", "attacked", "both", "wrong"]
# From the clips that no attack can change to those that need none, as they are stacked in the figure.
VERDICTS: tuple[Verdict, ...] = ("certified", "unknown", "abstains", "both", "attacked", "wrong")
UNITS = {"bones": "bone length, ± %", "yaw": "yaw, ± degrees"}


def family(run: Run) -> str:
    """What the limits allow: bones, yaw, or the option of ``constraint=``."""
    limits = _limits(run)
    if len(limits) == 1:
        (name,) = limits
        return {"bone_factor": "bones", "view": "yaw"}.get(name, str(run.choices.get("constraint")))
    return str(run.choices.get("constraint"))


def tolerance(run: Run) -> float:
    """The limit: % of the bone length, degrees of yaw, or the factor of all limits of ``constraint=``."""
    times, limits = float(run.settings["tolerance"]), _limits(run)
    if family(run) == "bones":
        return 100 * times * float(limits["bone_factor"]["eps"])
    return times * float(limits["view"]["eps"]) if family(run) == "yaw" else times


def unit(run: Run) -> str:
    """What ``tolerance`` is measured in."""
    return UNITS.get(family(run), f"times the limits of {family(run)}")


def share(run: Run, verdict: Verdict) -> Rate:
    """The rate of clips with this verdict, over all clips."""
    return rate(run.array("verdict") == verdict)


def silenced(run: Run) -> Rate:
    """The rate of clips, among those certified as their true class, whose attacked clip is given no class."""
    right = run.array("pred") == run.array("label")
    return rate((run.array("adv_pred") == -1)[right])


def median(run: Run, column: str) -> float:
    """The median over clips of a column, an infinite value counting as large."""
    return float(np.median(run.array(column)))


def reached(run: Run) -> float:
    """The median over feasible attacked clips of their change as a share of the bound."""
    feasible, bound = run.array("feasible"), run.array("bound")
    values = run.array("length")[feasible] / np.where(bound > 0, bound, np.inf)[feasible]
    return float(np.median(values)) if len(values) else float("nan")


def by_tolerance(runs: Sequence[Run]) -> pd.DataFrame:
    """The share of each verdict with its 95 % Wilson interval, by tolerance."""
    rows: list[dict[str, Any]] = []
    for run in sorted(runs, key=tolerance):
        for verdict in VERDICTS:
            found = share(run, verdict)
            low, high = found.interval
            row = {"tolerance": tolerance(run), "verdict": verdict, "share": found.value, "low": low, "high": high}
            rows.append(row | {"clips": found.count, "run": run.identity})
    return pd.DataFrame(rows)


def _limits(run: Run) -> dict[str, Any]:
    limits = run.settings.get("constraint")
    return dict(limits) if isinstance(limits, dict) else {}

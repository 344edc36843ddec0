"""Attacks that search for the smallest perturbation, compared clip by clip."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_adv.report.columns import (
    ACCESS,
    ATTACK_NAME,
    CLEAN,
    CLIPS,
    DEFENSE,
    FORWARDS,
    GOAL,
    GRADIENTS,
    SUCCESS_IF_RIGHT,
    VICTIM,
    Column,
    Row,
    Value,
    number_cell,
    rate_cell,
)
from skeleton_adv.report.paired import NEAR, Paired, by_victim, comparable, median, median_interval, quantile
from skeleton_adv.report.stats import rate
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run


def takes(run: Run) -> bool:
    """Whether a run minimises a norm, with no other network than the victim."""
    return run.minimises is not None and run.threat is None and run.surrogate is None


def _found(runs: Sequence[Run]) -> Value:
    """Median and mean of the norm, and how often it is near the smallest that any attack of the table found."""
    values: dict[str, dict[str, Any]] = {}
    for group in by_victim(runs):
        for norm in sorted({str(run.minimises) for run in group}):
            own = [run for run in group if run.minimises == norm]
            values |= _of_group(comparable(own), norm)
            for run in own:
                if run.identity not in values:
                    alone = Paired([run])
                    values[run.identity] = _lengths(alone.lengths(norm)[0, alone.right], norm)
    return lambda run: values[run.identity]


def _of_group(runs: Sequence[Run], norm: str) -> dict[str, dict[str, Any]]:
    paired = Paired(runs)
    lengths = paired.lengths(norm)[:, paired.right]
    shortest = lengths.min(axis=0, initial=np.inf)
    possible = np.isfinite(shortest)
    found = {}
    for run, own in zip(runs, lengths, strict=True):
        near = rate((own <= NEAR * shortest)[possible])
        found[run.identity] = _lengths(own, norm) | near.columns("near_shortest") | {"compared": len(runs)}
    return found


def _lengths(lengths: np.ndarray, norm: str) -> dict[str, Any]:
    """Median and mean of the lengths (n,) of a run, infinite for failures."""
    middle, hits = median(lengths), lengths[np.isfinite(lengths)]
    row = {"norm": norm, "median_norm": middle if np.isfinite(middle) else None, "paired_clips": len(lengths)}
    return row | {"mean_norm": float(hits.mean()) if len(hits) else None}


def robustness(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """For each victim and norm: the shortest perturbation that any attack found on a clip, its median and its curve."""
    names, found = network_names(runs, noise=True), []
    for every in by_victim([run for run in runs if not run.targeted and not run.randomised]):
        for norm in sorted({str(run.minimises) for run in every}):
            group = comparable([run for run in every if run.minimises == norm])
            paired = Paired(group)
            shortest = paired.lengths(norm)[:, paired.right].min(axis=0, initial=np.inf)
            if not len(shortest):
                continue
            row: dict[str, Any] = {"model": names["model"](group[0]), "defense": group[0].defense, "norm": norm}
            row |= {"attacks": len(group), "paired_clips": len(shortest), "median_least": median(shortest)}
            row["median_least_low"], row["median_least_high"] = median_interval(shortest)
            found.append(row | {"quarter": quantile(shortest, 0.25), "three_quarters": quantile(shortest, 0.75)})
    return sorted(found, key=lambda row: (row["norm"], -row["median_least"]))


def _median_cell(row: Row, key: str) -> str:
    low, high = row[f"{key}_low"], row[f"{key}_high"]
    return f"{row[key]:.4f} [{low:.4f}, {high:.4f}]"


ROBUSTNESS = FurtherPage(
    name="_victims",
    heading="Victims by the shortest perturbation that any of these attacks found on each clip that is correct before, "
    "the most robust first, with 95 % intervals of the median. A quarter and three quarters of the clips have "
    "perturbations up to the lengths in the last columns. Victims that draw noise are left out:",
    rows=robustness,
    columns=lambda runs: (
        Column("model", "victim"),
        Column("defense", "defense"),
        Column("norm", "norm"),
        Column("attacks", "attacks"),
        Column("paired_clips", "clips"),
        Column("median_least", "median of the shortest", show=_median_cell),
        Column("quarter", "25 % quantile", show=number_cell(".4f")),
        Column("three_quarters", "75 % quantile", show=number_cell(".4f")),
    ),
)

FOUND = (
    Column("norm", "norm", among=_found),
    Column("median_norm", "median", show=number_cell(".4f"), note="Median: over all clips, with failures as infinite."),
    Column("mean_norm", "mean of successes", show=number_cell(".4f")),
    Column(
        "near_shortest",
        f"within {NEAR} × the shortest",
        show=rate_cell,
        note=f"Within {NEAR} × the shortest: at most this many times as long as the shortest perturbation that any "
        "attack in this table found on the clip, among clips that are correct before all of them; empty for attacks on "
        "fewer than half as many clips as another. Norms l2, linf and "
        "rms are in the unit of the clips; l0 is the number of changed joints, counted in every frame.",
        always=True,
    ),
)

TABLE = Table(
    name="benchmark_least",
    title="Attacks that minimise a norm",
    takes=takes,
    lead=(VICTIM, DEFENSE, GOAL, ACCESS, ATTACK_NAME),
    columns=(CLIPS, SUCCESS_IF_RIGHT, *FOUND, GRADIENTS, FORWARDS, CLEAN),
    further=(ROBUSTNESS,),
)

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
    Value,
    number_cell,
    rate_cell,
)
from skeleton_adv.report.paired import NEAR, Paired, by_victim, comparable, median
from skeleton_adv.report.stats import rate
from skeleton_adv.report.table import Table
from skeleton_adv.runs.load import Run


def takes(run: Run) -> bool:
    """Whether a run minimises a norm without a budget, with no other network than the victim."""
    return run.minimises is not None and run.surrogate is None and run.of_attack.get("eps") is None


def _found(runs: Sequence[Run]) -> Value:
    """Median and mean of the norm, and how often it is near the smallest that any attack of the table found."""
    values: dict[str, dict[str, Any]] = {}
    for group in by_victim(runs):
        for norm in sorted({str(run.minimises) for run in group}):
            own = [run for run in group if run.minimises == norm]
            values |= _of_group(comparable(own), norm)
            values |= {run.identity: {"norm": norm} for run in own if run.identity not in values}
    return lambda run: values[run.identity]


def _of_group(runs: Sequence[Run], norm: str) -> dict[str, dict[str, Any]]:
    paired = Paired(runs)
    lengths = paired.lengths(norm)[:, paired.right]
    shortest = lengths.min(axis=0, initial=np.inf)
    possible = np.isfinite(shortest)
    found = {}
    for run, own in zip(runs, lengths, strict=True):
        middle, hits = median(own), own[np.isfinite(own)]
        row = {"norm": norm, "median_norm": middle if np.isfinite(middle) else None}
        row |= {"mean_norm": float(hits.mean()) if len(hits) else None, "paired_clips": int(paired.right.sum())}
        near = rate((own <= NEAR * shortest)[possible])
        found[run.identity] = row | near.columns("near_shortest") | {"compared": len(runs)}
    return found


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
)

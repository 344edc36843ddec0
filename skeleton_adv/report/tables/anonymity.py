"""k-anonymity: the ranks of the true class after the attack, and a test whether they are uniform."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skeleton_adv.report.columns import (
    ACCESS,
    ACCURACY,
    CLEAN,
    CLIPS,
    DEFENSE,
    L2,
    METHOD,
    RMS,
    SURROGATE,
    VICTIM,
    Column,
    Row,
    has,
    number_cell,
    rate_cell,
)
from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.report.table import Table
from skeleton_adv.runs.load import Run

RANKS = Column(
    "ranks",
    "ranks",
    lambda run: f"{first(run)} to {first(run) + int(run.of_attack['k']) - 1}",
    covers=("attack.k", "attack.hide"),
)


def first(run: Run) -> int:
    """The first of the k ranks: 1, or 2 if every clip is to be misclassified."""
    return 2 if run.of_attack.get("hide") else 1


def counts(run: Run) -> np.ndarray:
    """(k,) how many clips have each of the k ranks, for the attacked network."""
    places = run.array("rank").astype(int) - first(run)
    k = int(run.of_attack["k"])
    found: np.ndarray = np.bincount(places[(places >= 0) & (places < k)], minlength=k)
    return found


def uniform(run: Run) -> dict[str, Any]:
    """The counts of the k ranks, the chi-square test that they are uniform, and the largest share of all clips."""
    from scipy.stats import chisquare

    found = counts(run)
    p = float(chisquare(found).pvalue) if found.sum() else float("nan")
    largest = Rate(int(found.max()), len(run.records)).columns("largest_share")
    return {"rank_counts": " ".join(map(str, found.tolist())), "uniform_p": p, **largest}


def outside(run: Run) -> Rate:
    """Clips whose rank is none of the k."""
    return Rate(len(run.records) - int(counts(run).sum()), len(run.records))


def reached(run: Run) -> Rate:
    """Clips that have the rank that was drawn for them."""
    return rate(run.array("rank") == run.array("drawn_rank"))


def _p_cell(row: Row, key: str) -> str:
    return "" if not has(row, key) else "< 0.001" if row[key] < 0.001 else f"{row[key]:.3f}"


def notes(runs: Sequence[Run]) -> str:
    return (
        "Ranks: positions of the true class in the order of the attacked network's logits, 1: it is predicted. An "
        "anonymous set of clips has the true class at each of the k ranks equally often. P: of the chi-square test "
        "that the ranks inside are uniform; below 0.05 they are not. Largest share: of the most frequent rank; an "
        "observer who assumes this rank is right for this share of the clips. Outside: the rank is none of the k. "
        "Accuracy is that of the victim of the row, which for transfer is another network than the attacked one: "
        "anonymity holds for a network that was never attacked only if its accuracy is near 1 / k, or near 0 for an "
        "attack whose ranks begin at 2 (attack.hide=true). The table anonymity_judged compares all judges, also "
        "retrained ones."
    )


TABLE = Table(
    name="anonymity",
    title="k-anonymity",
    takes=lambda run: "drawn_rank" in run.columns and "rank" in run.columns,
    lead=(VICTIM, DEFENSE, ACCESS, SURROGATE, *METHOD, RANKS),
    columns=(
        CLIPS,
        ACCURACY,
        Column("rank_counts", "clips by rank", uniform, always=True),
        Column("uniform_p", "p", show=_p_cell, always=True),
        Column("largest_share", "largest share", show=rate_cell, always=True),
        Column("outside", "outside", outside, rate_cell),
        Column("reached", "drawn rank reached", reached, rate_cell),
        *(CLEAN, L2, RMS),
    ),
    also=(Column("k", "", lambda run: run.of_attack["k"], number_cell("g")),),
    notes=notes,
)

"""Table 4 of Zheng et al.: a defended victim under oblivious and adaptive attacks."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from skeleton_adv.report.columns import (
    ACCURACY,
    CLEAN,
    CLIPS,
    CONSTRAINT_MEANS,
    DEFENSE,
    DRAWS,
    FEASIBLE_IF_RIGHT,
    GOAL,
    L2,
    METHOD,
    NOISE,
    PAPER_ACCURACY,
    RMS,
    SIGMA,
    SUCCESS,
    SUCCESS_IF_RIGHT,
    TAPS,
    VICTIM,
)
from skeleton_adv.report.published import Published
from skeleton_adv.report.table import Beside, Table
from skeleton_adv.report.white_box import is_for_tables
from skeleton_adv.runs.load import Run


def notes(runs: Sequence[Run]) -> str:
    eot = sorted({run.of_defense.get("eot", 1) if run.randomised else 1 for run in runs}, key=str)
    judgements = sorted({int(run.array("judgements").max()) for run in runs})
    return (
        "Oblivious: the attack is made on the undefended network, as in the paper. Adaptive: it is made on the "
        f"defended network, with the mean logits of {_either(eot)} fresh draws per step. The victim judges each clip "
        f"{_either(judgements)} times with fresh noise, and the clip counts with its share of these judgements; noise "
        "of the same ℓ2 is judged once."
    )


def _either(values: Sequence[Any]) -> str:
    return " or ".join(map(str, values))


def takes(run: Run) -> bool:
    """Whether a run belongs in the table: the benchmark of defenses has its own table."""
    if run.access in ("transfer", "none") or str(run.experiment).startswith("defenses"):
        return False
    return run.defense is not None and is_for_tables(run)


TABLE = Table(
    name="table4",
    title="Table 4: defense by noise and temporal filter",
    takes=takes,
    lead=(GOAL, VICTIM, DEFENSE, SIGMA, TAPS, DRAWS, *METHOD),
    beside=Beside(lambda run: run.access, ("adaptive",)),
    columns=(
        *(CLIPS, replace(PAPER_ACCURACY, always=True), ACCURACY, CLEAN, replace(FEASIBLE_IF_RIGHT, always=False)),
        *(replace(SUCCESS, always=False), replace(SUCCESS_IF_RIGHT, always=False), NOISE, L2, RMS, CONSTRAINT_MEANS),
    ),
    published=Published(
        "table4",
        ("model", "setting", "split", "sigma"),
        {"paper_accuracy": ("accuracy", 0.01)},
        given=lambda facts: (
            facts["defense"] == "noise and filter"
            and facts["attack"] == "ADMM"
            and (facts["beta"], facts["draws"]) == (1, 50)  # section 6.2 of the paper
        ),
    ),
    notes=notes,
)

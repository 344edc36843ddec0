"""Table 2 of Zheng et al.: ADMM's clips made on one network and judged by another."""

from collections.abc import Sequence
from typing import Any

from skeleton_adv.report.columns import (
    ATTACK_NAME,
    BETA,
    CLEAN,
    CLIPS,
    FEASIBLE_IF_RIGHT,
    FOUND,
    L2,
    NOISE,
    PAPER_SUCCESS,
    RMS,
    SETTING,
    SOURCE,
    SUCCESS,
    SUCCESS_IF_RIGHT,
    TARGET,
    Column,
    Item,
    format_rate,
)
from skeleton_adv.report.published import Published, paper_name
from skeleton_adv.report.stats import attack_rate
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.white_box import is_for_tables
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run


def is_transfer(run: Run) -> bool:
    """Whether a run is ADMM on a surrogate, judged by an undefended victim."""
    made = run.kind == "attack" and run.access == "transfer" and run.defense is None
    return made and paper_name("attack", run.attack) == "ADMM" and is_for_tables(run)


def matrix(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per surrogate and setting, one column per victim: success on clips that the victim classifies correctly.

    Empty with fewer than three victims, because the first page then says it all.
    """
    names, rows = network_names(runs, noise=True), dict[str, dict[str, Any]]()
    if len({names["model"](run) for run in runs}) < 3:
        return []
    for run in sorted(runs, key=lambda run: (run.of_attack["beta"], run.targeted, names["surrogate"](run))):
        about = {"surrogate": names["surrogate"](run), "beta": run.of_attack["beta"]}
        about["goal"] = "targeted" if run.targeted else "untargeted"
        row = rows.setdefault(repr(about), about)
        row[names["model"](run)] = format_rate(attack_rate(run, "success_share", right_only=True))
    return [*rows.values()]


def _matrix_columns(runs: Sequence[Run]) -> list[Item]:
    name = network_names(runs, noise=True)["model"]
    victims = sorted({name(run) for run in runs})
    return [
        *(Column("surrogate", "made on"), Column("beta", "β"), Column("goal", "goal")),
        *(Column(victim, victim) for victim in victims),
    ]


TABLE = Table(
    name="table2",
    title="Table 2: transfer of the ADMM attack",
    takes=is_transfer,
    lead=(SETTING, SOURCE, TARGET, ATTACK_NAME, BETA),
    columns=(*(CLIPS, PAPER_SUCCESS, SUCCESS, SUCCESS_IF_RIGHT, NOISE, CLEAN, FEASIBLE_IF_RIGHT, FOUND, L2, RMS),),
    published=Published(
        "table2",
        ("source", "target", "split", "beta"),
        {"paper_success": ("success_rate", 0.01)},
        given=lambda facts: facts["setting"] == "untargeted",
    ),
    notes=lambda runs: "Success includes clips that the victim misclassifies without any attack.",
    further=(
        FurtherPage(
            name="_matrix",
            heading="Success by surrogate and victim, on clips that the victim classifies correctly before the attack "
            "(a victim that is its own surrogate is a white box):",
            rows=matrix,
            columns=_matrix_columns,
        ),
    ),
)

"""Table 2 of Zheng et al.: ADMM's clips made on one network and judged by another."""

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
)
from skeleton_adv.report.published import Published, paper_name
from skeleton_adv.report.table import Table
from skeleton_adv.report.white_box import is_for_tables
from skeleton_adv.runs.load import Run


def is_transfer(run: Run) -> bool:
    """Whether a run is ADMM on a surrogate, judged by an undefended victim."""
    made = run.kind == "attack" and run.access == "transfer" and run.defense is None
    return made and paper_name("attack", run.attack) == "ADMM" and is_for_tables(run)


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
)

"""What the tables of white-box attacks have in common."""

from skeleton_adv.report.columns import (
    ATTACK_NAME,
    BETA,
    CLEAN,
    CLIPS,
    CONSTRAINT_COLUMNS,
    FEASIBLE,
    FEASIBLE_IF_RIGHT,
    GOAL,
    KEEP,
    KINETIC,
    L2,
    PAPER_KINETIC,
    PAPER_L2,
    PAPER_SUCCESS,
    RMS,
    SUCCESS,
    SUCCESS_IF_RIGHT,
    TRUE_ANGLE,
    VICTIM,
    Item,
)
from skeleton_adv.report.published import paper_name
from skeleton_adv.runs.load import Run

# Our columns beside the paper's, and the factor to our units.
PUBLISHED_COLUMNS = {
    "paper_success": ("success_rate", 0.01),
    "paper_bone": ("bone_length", 0.01),
    "paper_angle": ("joint_angle", 1.0),
    "paper_kinetic": ("kinetic_energy", 0.01),
    "paper_l2": ("l2", 1.0),
}
BY_BETA = (GOAL, VICTIM, ATTACK_NAME, BETA, KEEP)
COLUMNS: tuple[Item, ...] = (
    *(CLIPS, PAPER_SUCCESS, SUCCESS, SUCCESS_IF_RIGHT, FEASIBLE_IF_RIGHT, CLEAN, PAPER_L2, L2, RMS, FEASIBLE),
    *(CONSTRAINT_COLUMNS, TRUE_ANGLE, PAPER_KINETIC, KINETIC),
)


def is_for_tables(run: Run) -> bool:
    """Whether a run is of a table, not of a few clips that were made to be shown as films."""
    return run.experiment != "films"


def is_white_box(run: Run, attack: str) -> bool:
    """Whether a run is one of this attack (by the paper's name) that sees an undefended victim.

    Only on data that stands beside the paper's: on any other, all attacks are side by side in the benchmark table.
    """
    plain = run.kind == "attack" and run.access == "white box" and run.defense is None and run.stands_for is not None
    return plain and paper_name("attack", run.attack) == attack and is_for_tables(run)

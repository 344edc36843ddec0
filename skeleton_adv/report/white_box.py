"""What the tables of white-box attacks share."""

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

# Our columns -> the paper's, and the factor to our units.
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
    """Whether a run belongs in a table: not if it attacks a few clips only to draw them."""
    return run.experiment != "films"


def is_white_box(run: Run, attack: str) -> bool:
    """Whether a run is this attack (by the paper's name) with white-box access to an undefended victim.

    Only on data that the paper's numbers appear beside, and without a threat model: the benchmark has all other runs.
    """
    plain = run.kind == "attack" and run.access == "white box" and run.defense is None and run.stands_for is not None
    plain = plain and run.threat is None
    return plain and paper_name("attack", run.attack) == attack and is_for_tables(run)

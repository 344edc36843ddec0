"""All attacks that no other table shows, on equal terms."""

from skeleton_adv.report.columns import (
    ACCESS,
    ATTACK_COLUMNS,
    CLEAN,
    CLIPS,
    CONSTRAINT_COLUMNS,
    DEFENSE,
    FEASIBLE,
    FEASIBLE_IF_RIGHT,
    GOAL,
    KINETIC,
    L2,
    METHOD,
    NOISE,
    RMS,
    SUCCESS,
    SUCCESS_IF_RIGHT,
    SURROGATE,
    VICTIM,
)
from skeleton_adv.report.table import Table

TABLE = Table(
    name="benchmark",
    title="Benchmark: attacks on equal terms",
    takes=None,
    lead=(GOAL, VICTIM, DEFENSE, ACCESS, SURROGATE, *METHOD),
    columns=(
        *(
            CLIPS,
            CLEAN,
            SUCCESS,
            SUCCESS_IF_RIGHT,
            FEASIBLE_IF_RIGHT,
            RMS,
            L2,
            FEASIBLE,
            NOISE,
            CONSTRAINT_COLUMNS,
            KINETIC,
        ),
        ATTACK_COLUMNS,
    ),
)

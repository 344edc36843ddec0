"""Table 1 within the limits of the body: how much of each attack's success is feasible."""

from skeleton_adv.report.columns import (
    CLEAN,
    CLIPS,
    CONSTRAINT_COLUMNS,
    FEASIBLE_IF_RIGHT,
    FORWARDS,
    GOAL,
    L2,
    LIMITS,
    METHOD,
    RMS,
    SAVED_FROM,
    SUCCESS_IF_RIGHT,
    VICTIM,
)
from skeleton_adv.report.table import Table

TABLE = Table(
    name="table1_feasible",
    title="Table 1 within the limits of the body",
    takes=lambda run: run.experiment == "table1_feasible",
    lead=(VICTIM, GOAL, LIMITS, *METHOD, SAVED_FROM),
    columns=(CLIPS, FEASIBLE_IF_RIGHT, SUCCESS_IF_RIGHT, L2, RMS, CLEAN, CONSTRAINT_COLUMNS, FORWARDS),
)

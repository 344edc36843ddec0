"""Table 1 of Zheng et al.: ADMM against an undefended victim, on joints in space."""

from skeleton_adv.report.published import Published
from skeleton_adv.report.table import Table
from skeleton_adv.report.white_box import BY_BETA, COLUMNS, PUBLISHED_COLUMNS, is_white_box

TABLE = Table(
    name="table1",
    title="Table 1: ADMM attack, white box",
    takes=lambda run: is_white_box(run, "ADMM") and run.unit == "m",
    lead=BY_BETA,
    columns=COLUMNS,
    published=Published("table1", ("setting", "model", "split", "beta"), PUBLISHED_COLUMNS, notes=True),
    grid=("beta",),
)

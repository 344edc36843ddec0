"""Table 5 of Zheng et al.: ADMM against an undefended victim, on joints in an image."""

from skeleton_adv.report.published import Published
from skeleton_adv.report.table import Table
from skeleton_adv.report.white_box import BY_BETA, COLUMNS, PUBLISHED_COLUMNS, is_white_box

TABLE = Table(
    name="table5",
    title="Table 5: ADMM attack, white box",
    takes=lambda run: is_white_box(run, "ADMM") and run.unit == "image",
    lead=BY_BETA,
    columns=COLUMNS,
    published=Published(
        "table5",
        ("setting", "model", "beta"),
        PUBLISHED_COLUMNS,
        given=lambda facts: facts["split"] == "Kinetics",
        notes=True,
    ),
    grid=("beta",),
)

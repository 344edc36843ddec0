"""Table 3 of Zheng et al.: C&W against an undefended victim, and compared with ADMM over the clips that both fool."""

from skeleton_adv.report.columns import ATTACK_NAME, GOAL, VICTIM
from skeleton_adv.report.published import Published
from skeleton_adv.report.table import Table
from skeleton_adv.report.versus import AGAINST_ADMM
from skeleton_adv.report.white_box import COLUMNS, PUBLISHED_COLUMNS, is_white_box

TABLE = Table(
    name="table3",
    title="Table 3: C&W attack, white box",
    takes=lambda run: is_white_box(run, "C&W"),
    lead=(GOAL, VICTIM, ATTACK_NAME),
    columns=COLUMNS,
    published=Published("table3", ("setting", "model", "split"), PUBLISHED_COLUMNS, notes=True),
    grid=(),
    further=(AGAINST_ADMM,),
)

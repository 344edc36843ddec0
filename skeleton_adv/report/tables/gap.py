"""The gap between attacks within limits on the body and certificates against all clips within them."""

from functools import partial

from skeleton_adv.report import gap
from skeleton_adv.report.columns import CLIPS, Column, number_cell, rate_cell
from skeleton_adv.report.table import Table
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run


def trained(run: Run) -> str:
    """The noise with which the victim was trained, and on what."""
    if run.trained_noise is None:
        return "unknown"
    space = run.training.get("space", "joints")
    return f"{run.trained_noise:g}" + (f" on {space}" if run.trained_noise else "")


SPACE = Column(
    "space",
    "noise on",
    lambda run: str(run.smoothing.get("space", "joints")),
    covers=("smoothing.space",),
)

TABLE = Table(
    name="gap",
    title="Attacked and certified within",
    kind="gap",
    takes=lambda run: True,
    apart=gap.family,
    lead=(
        Column("victim", "victim", among=lambda runs: network_names(runs)["model"], covers=("checkpoint",)),
        Column("defense", "defense", lambda run: run.defense or "none"),
        SPACE,
        Column("sigma", "σ", lambda run: run.smoothing["sigma"], number_cell("g"), covers=("smoothing.sigma",)),
        Column("trained", "trained with σ", trained),
        Column("attack", "attack", lambda run: run.attack),
        Column("unit", "limit in", gap.unit),
        Column("tolerance", "limit", gap.tolerance, number_cell("g"), covers=("tolerance",)),
    ),
    columns=(
        CLIPS,
        Column("certified", "certified", partial(gap.share, verdict="certified"), rate_cell, always=True),
        Column("attacked", "attacked", partial(gap.share, verdict="attacked"), rate_cell, always=True),
        Column("unknown", "unknown", partial(gap.share, verdict="unknown"), rate_cell, always=True),
        Column("abstains", "abstains", partial(gap.share, verdict="abstains"), rate_cell, always=True),
        Column("wrong", "wrong before", partial(gap.share, verdict="wrong"), rate_cell),
        Column("radius", "median radius", partial(gap.median, column="radius"), number_cell(".3g")),
        Column("bound", "median bound", partial(gap.median, column="bound"), number_cell(".3g")),
        Column("reached", "attack / bound", gap.reached, number_cell(".2f")),
        Column("silenced", "silenced", gap.silenced, rate_cell),
        Column("both", "both", partial(gap.share, verdict="both"), rate_cell),
    ),
    also=(
        Column("l2", "", partial(gap.median, column="l2")),
        Column("rms_mm", "", partial(gap.median, column="rms_mm")),
    ),
    notes=lambda runs: (
        "The verdicts are on the smoothed victim. Attacked: for a clip within the limits, which the attack finds on "
        f"the mean softmax, it predicts a wrong class with {runs[0].smoothing['n']} fresh draws (PREDICT of Cohen et "
        f"al., α={runs[0].smoothing['alpha']:g}). Certified: it predicts the true class, and the radius exceeds an "
        "upper bound on the change of any clip within the limits (skeleton_adv.certificates.largest). Abstains: it "
        "predicts no class for the clean clip. Wrong before: it predicts a wrong class for the clean clip. Unknown: "
        "the attack fails, and the radius is too small. Radius and bound are in the unit of the noise; attack / bound "
        "is the change of the attacked clip as a share of the bound (median). Silenced: the smoothed victim predicts "
        "no class for the attacked clip, among clips certified as their true class at any radius. Both: attacked and "
        "certified, a contradiction that has a probability of at most 2 α per clip."
    ),
)

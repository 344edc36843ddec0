"""Certified accuracy by radius: by Cohen et al.'s certificate, and in Zheng et al.'s form."""

from functools import partial

from skeleton_adv.report.certificates import (
    FORMS,
    RADII,
    clip_rate,
    known_accuracy,
    mean_radius,
    training_noise_cell,
)
from skeleton_adv.report.columns import CLIPS, RATES, Column, number_cell, rate_cell
from skeleton_adv.report.table import Table
from skeleton_adv.report.words import network_names

CERTIFIED = {
    f"{form}_{radius:g}": Column(
        f"{form}_{radius:g}",
        f"r={radius:g}" if form == "standard" else "",
        partial(known_accuracy, radius=radius, form=form),
        rate_cell,
    )
    for form in FORMS
    for radius in RADII
}
SIGMA = Column("sigma", "σ", lambda run: run.smoothing["sigma"], number_cell("g"), covers=("smoothing.sigma",))

TABLE = Table(
    name="certified",
    title="Certified accuracy",
    kind="certificate",
    takes=lambda run: run.noise_space == "joints",
    lead=(
        Column("victim", "victim", among=lambda runs: network_names(runs)["model"], covers=("checkpoint",)),
        Column("defense", "defense", lambda run: run.defense or "none"),
        SIGMA,
        Column("n", "n", lambda run: run.smoothing["n"], number_cell(".0f"), covers=("smoothing.n",)),
        Column("stop", "", lambda run: " ".join(f"{r:g}" for r in run.decided) or None, covers=("smoothing.stop",)),
        Column("trained_noise", "trained with σ", lambda run: run.trained_noise, training_noise_cell),
    ),
    columns=(
        CLIPS,
        Column("clean_accuracy", "clean accuracy", partial(clip_rate, column="clean_correct"), rate_cell),
        *(CERTIFIED[f"standard_{radius:g}"] for radius in RADII[:4]),
        Column("mean_radius", "mean radius {length}", partial(mean_radius, column="radius"), number_cell()),
        Column("abstained", "abstained", partial(clip_rate, column="abstained"), rate_cell),
        *(CERTIFIED[f"standard_{radius:g}"] for radius in RADII[4:]),
        Column("mean_draws", "mean draws", lambda run: float(run.array("draws").mean()), number_cell(".0f")),
        Column("mean_rms_mm", "mean rms {small}", partial(mean_radius, column="rms_mm"), number_cell(".2f")),
        Column("paper_0.5", "paper's form, r=0.5", CERTIFIED["paper_0.5"].value, rate_cell),
    ),
    also=(*CERTIFIED.values(),),
    notes=lambda runs: (
        "Certified accuracy at radius r (ℓ2, in the clips' unit) is that of the smoothed victim, in the space after "
        f"resampling, for changes of existing joints only. {RATES} At r=0, a clip counts if it is certified as its "
        "true class at any radius. Mean radius: wrong classes and abstentions count as 0; mean rms: the same per joint "
        "and frame. Clean accuracy is that of the victim without noise. The paper's form relies on intervals that "
        "contain the true value less often than they claim, so it is not a proof "
        "(skeleton_adv.certificates.radii.zheng)."
        + (" A run with smoothing.stop has only the radii that it decides." if any(run.decided for run in runs) else "")
    ),
)

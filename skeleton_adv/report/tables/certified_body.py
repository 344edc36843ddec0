"""Certified accuracy in the body's terms: bone lengths, yaw and slow motion, beside what the l2 certificate says."""

from functools import partial

from skeleton_adv.report.bodies import CHANGES, certified_within, median_within, noise_text
from skeleton_adv.report.certificates import clip_rate, training_noise_cell
from skeleton_adv.report.columns import CLIPS, RATES, Column, number_cell, rate_cell, text_cell
from skeleton_adv.report.table import Table
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.schema import BODY_TERMS

WITHIN = {
    f"{change.column}_{value:g}": Column(
        f"{change.column}_{value:g}",
        change.short.format(value),
        partial(certified_within, column=change.column, limit=value),
        rate_cell,
    )
    for change in CHANGES
    for value in change.values
}
SHOWN = ("bone_percent_5", "bone_percent_10", "yaw_degrees_15", "hz1_mm_5", "constant_mm_5")

TABLE = Table(
    name="certified_body",
    title="Certified accuracy in the body's terms",
    kind="certificate",
    takes=lambda run: run.noise_space != "joints" or "bone_percent" in run.records,
    lead=(
        Column("victim", "victim", among=lambda runs: network_names(runs)["model"], covers=("checkpoint",)),
        Column("defense", "defense", lambda run: run.defense or "none"),
        Column("noise", "noise on", noise_text, text_cell, covers=("smoothing.space",)),
        Column("sigma", "σ", lambda run: run.smoothing["sigma"], number_cell("g"), covers=("smoothing.sigma",)),
        Column("n", "n", lambda run: run.smoothing["n"], number_cell(".0f"), covers=("smoothing.n",)),
        Column("trained_noise", "trained with σ", lambda run: run.trained_noise, training_noise_cell),
        Column("trained_on", "on", lambda run: run.trained_space or "", text_cell),
    ),
    columns=(
        CLIPS,
        Column("clean_accuracy", "clean accuracy", partial(clip_rate, column="clean_correct"), rate_cell),
        *(WITHIN[key] for key in SHOWN),
        Column("abstained", "abstained", partial(clip_rate, column="abstained"), rate_cell),
    ),
    also=(
        *WITHIN.values(),
        *(
            Column(f"median_{name}", "", partial(median_within, column=name), number_cell())
            for name in BODY_TERMS
            if name != "bones"
        ),
    ),
    notes=lambda runs: (
        f"A cell is the share of clips that are certified as their true class for every such change, up to its size. "
        f"{RATES} Bones: one factor per bone over the clip, all bones at once, the root's path and all directions "
        "unchanged. Yaw: about one vertical axis through the first person's first root; beside noise on coordinates, "
        "the axis passes through the camera. 1 Hz, offset: any directions, amplitudes and phases of the joints with "
        "this rms over joints and frames. σ has the unit of the noise: metres, the logarithm of a factor, or radians. "
        "A cell is empty if the certificate says nothing of such changes. For noise on coordinates, bone lengths and "
        "yaw are what its ℓ2 or Mahalanobis radius covers."
    ),
)

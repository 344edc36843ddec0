"""Identification by templates before and after an attack: 1:N by the nearest template, 1:1 by a threshold."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from skeleton_adv.report import identification
from skeleton_adv.report.columns import CLIPS, GOAL, METHOD, VICTIM, Column, number_cell, rate_cell
from skeleton_adv.report.published import read
from skeleton_adv.report.stats import mean
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.runs.load import Run

OF = Column("of", "identities", lambda run: identities(run), covers=("of", "subject"))
FEATURES = Column(
    "features",
    "features",
    lambda run: (
        "bone lengths"
        if run.settings["bones"] == "alone"
        else f"layer {run.settings['layer']}, {run.settings['distance']}, bones {run.settings['bones']}"
    ),
    covers=("layer", "distance", "bones"),
)
JUDGED = ("judged.run", "judged.attack", "judged.clips")


def identities(run: Run) -> str:
    """What the templates belong to: actions or subjects, which are the classes with ``dataset.label=subject``."""
    people = (run.settings.get("dataset") or {}).get("label") == "subject"
    return "subjects" if people else str(run.settings["of"])


def published(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The paper's verification of faces, at the threshold of the equal error rate."""
    return [
        {str(name): value for name, value in row.items()} for row in read("massoli_verification").to_dict("records")
    ]


PAPER = FurtherPage(
    name="_paper",
    heading="Tables 3 and 4 of Massoli et al. (arXiv 1912.02918), which are of faces: pairs accepted as the other "
    "identity (impersonating) and genuine pairs rejected (evading) at the threshold of the equal error rate, in %. "
    "Deep features by the largest change of a pixel, of 255:",
    rows=published,
    columns=lambda runs: (
        *(Column("setting", "goal"), Column("attack", "attack")),
        Column("impersonating_before", "impersonating, before", show=number_cell(".1f")),
        Column("impersonating", "impersonating", show=number_cell(".1f")),
        Column("evading_before", "evading, before", show=number_cell(".1f")),
        Column("evading", "evading", show=number_cell(".1f")),
    ),
)

TABLE = Table(
    name="identification",
    title="Identification by templates",
    kind="identification",
    takes=lambda run: True,
    lead=(OF, GOAL, VICTIM, FEATURES, replace(METHOD[0], covers=JUDGED), *METHOD[1:]),
    columns=(
        CLIPS,
        Column("identified", "identified, before", partial(identification.identified, what="clean"), rate_cell),
        Column(
            "identified_after",
            "identified",
            partial(identification.identified, what="adv"),
            rate_cell,
            "Identified: the nearest template is that of the clip's identity; after the attack, among clips that are "
            "identified before.",
            always=True,
        ),
        Column("eer", "EER %", identification.error_rate, number_cell(".1f", 100), always=True),
        Column("evading_before", "evading, before", identification.rejected_before, rate_cell, always=True),
        Column("evading", "evading", identification.rejected, rate_cell, always=True),
        Column(
            "impersonating_before",
            "impersonating, before",
            identification.impersonating_before,
            rate_cell,
            always=True,
        ),
        Column("impersonating", "impersonating", identification.impersonating, rate_cell, always=True),
        Column(
            "verified",
            "verified at 1 %",
            partial(identification.verified, what="adv"),
            rate_cell,
            "Verified at 1 %: genuine pairs accepted, at a threshold that accepts 1 % of the clean impostors.",
        ),
        Column(
            "to_claimed",
            "distance to the wrong template",
            identification.to_claimed,
            number_cell(),
            "Distance to the wrong template: mean over adversarial clips.",
        ),
    ),
    also=(
        Column("misled", "", identification.misled, rate_cell),
        Column("verified_before", "", partial(identification.verified, what="clean"), rate_cell),
        Column("to_own", "", identification.to_own),
        Column("rms_mm", "", lambda run: mean(run.array("rms_mm"))),
    ),
    notes=lambda runs: (
        "A template is the mean of the features of an identity's clips. EER: equal error rate of the verification of "
        "clean clips, where a clip is compared with a template. Evading: clips that are rejected as their own identity "
        "at its threshold; after the attack, among clips that are accepted before. Impersonating: clips that are "
        "accepted at its threshold as the identity that the attack leads to; before, among clips that are accepted as "
        "their own identity; after the attack, among those of them that are not accepted as the other before. This "
        "identity is the target's or, without a target, that of the wrong class that the victim predicts (of subjects: "
        "the nearest wrong template). A clip that the victim still classifies correctly counts as a failure, and a "
        "clip of the target's identity does not count."
    ),
    further=(PAPER,),
)

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

OF = Column("of", "identities", lambda run: run.settings["of"], covers=("of", "subject"))
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
        Column("evading", "evading", partial(identification.rejected, what="adv"), rate_cell, always=True),
        Column("impersonating", "impersonating", partial(identification.impersonating, what="adv"), rate_cell),
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
        Column("evading_before", "", partial(identification.rejected, what="clean"), rate_cell),
        Column("impersonating_before", "", partial(identification.impersonating, what="clean"), rate_cell),
        Column("verified_before", "", partial(identification.verified, what="clean"), rate_cell),
        Column("to_own", "", identification.to_own),
        Column("rms_mm", "", lambda run: mean(run.array("rms_mm"))),
    ),
    notes=lambda runs: (
        "A template is the mean of the features of an identity's clips. EER: equal error rate of the verification of "
        "clean clips, where a clip is compared with a template. Evading: genuine pairs that are rejected at its "
        "threshold. Impersonating: pairs with the identity that the attack leads to that are accepted at its "
        "threshold: the target's or, without a target, that of the wrong class that the victim predicts (of subjects: "
        "of the nearest wrong template)."
    ),
    further=(PAPER,),
)

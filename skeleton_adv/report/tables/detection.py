"""Detectors of adversarial clips: AUC, false alarms, and the success of an attack that knows the detector."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from skeleton_adv.report import detection
from skeleton_adv.report.columns import CLIPS, GOAL, METHOD, VICTIM, Column, Row, number_cell, rate_cell
from skeleton_adv.report.published import read
from skeleton_adv.report.stats import mean
from skeleton_adv.report.table import Beside, FurtherPage, Table
from skeleton_adv.report.words import attack_name, goal, victim_name
from skeleton_adv.runs.load import Run

OF_THE_DETECTOR = ("detector.network", "detector.representative", "detector.distance")
OF_THE_PARTS = ("fit_on", "judged.run", "judged.attack", "judged.clips")
OF_THE_ACCESS = ("adaptive", "joint", "joint.norm", "joint.eps", "joint.steps", "joint.weights")
DETECTOR = Column("detector", "detector", detection.detector_name, covers=OF_THE_DETECTOR)
FITTED = Column("fitted_on", "fitted on", detection.fitted_on, covers=OF_THE_PARTS)
PAPER = ("bim", "cw", "mi_fgsm", "macro")


def by_configuration(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The AUC of each detector against each attack, their mean, and the paper's."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for run in (run for run in runs if run.access == "oblivious"):
        name, aim = detection.detector_name(run), goal(run)
        fit = detection.fitted_on(run).partition(" (")[0]
        row = found.setdefault((victim_name(run), aim, fit, name), {"model": run.victim, "setting": aim})
        row |= {"detector": name, "fit": fit, _key(run): detection.area(*detection.scores(run)).value}
    paper = read("massoli").set_index(["setting", "configuration"])
    for row in found.values():
        areas = pd.Series([value for key, value in row.items() if key.startswith("auc ")], dtype=float)
        row["macro"] = mean(areas.to_numpy())
        if (row["setting"], row["detector"]) in paper.index:
            row |= {f"paper_{name}": paper.loc[(row["setting"], row["detector"]), name] for name in PAPER}
    return [found[key] for key in sorted(found)]


def _key(run: Run) -> str:
    return f"auc {attack_name(run)}"


def _columns(runs: Sequence[Run]) -> list[Column]:
    attacks = sorted({attack_name(run) for run in runs if run.access == "oblivious"})
    lead = [Column("setting", "goal"), Column("model", "victim"), Column("detector", "detector")]
    own = [Column(f"auc {name}", name, show=number_cell()) for name in attacks]
    theirs = [Column(f"paper_{name}", f"{name}: paper", show=number_cell()) for name in PAPER]
    return [*lead, Column("fit", "fitted on"), *own, Column("macro", "mean", show=number_cell()), *theirs]


def _eps_cell(row: Row, key: str) -> str:
    return number_cell("g")(row, key)


CONFIGURATIONS = FurtherPage(
    name="_configurations",
    heading="AUC of each detector against each attack and their mean, beside Tables 1 and 2 of Massoli et al. (arXiv "
    "1912.02918), which are of faces:",
    rows=by_configuration,
    columns=_columns,
)

TABLE = Table(
    name="detection",
    title="Detection of adversarial clips",
    kind="detection",
    takes=lambda run: True,
    lead=(GOAL, VICTIM, replace(DETECTOR), *METHOD, FITTED),
    beside=Beside(lambda run: run.access, OF_THE_ACCESS),
    columns=(
        CLIPS,
        Column("auc", "AUC", detection.auc, detection.auc_cell, always=True),
        Column("undetected", "success without alarm", detection.undetected, rate_cell, always=True),
        Column("false_alarms", "false alarms at 95 % detection", detection.false_alarms, rate_cell),
        Column("alarms", "false alarms", detection.alarms, rate_cell, once=True),
        Column("detected", "detected", detection.detected, rate_cell),
        Column("success", "success", detection.success, rate_cell),
    ),
    also=(
        Column("joint_eps", "", lambda run: run.settings.get("joint", {}).get("eps"), _eps_cell),
        Column("rms_mm", "", lambda run: mean(run.array("rms_mm")[detection.counted(run)])),
    ),
    notes=lambda runs: (
        "Oblivious: the attack does not see the detector. Adaptive: the attack is made on the victim and the detector "
        "at once, on the same clips. AUC: area under the ROC curve with its 95 % interval and the number of "
        "adversarial clips, over clips that are correct before and that the attack fools. Success without alarm: the "
        "victim is fooled and the detector raises no alarm, among clips that are correct before. The threshold is "
        "chosen on held-out natural clips for 5 % false alarms; false alarms are those on the judged natural clips. "
        "False alarms at 95 % detection: at the threshold that detects 95 % of the adversarial clips. Seen: the "
        "detector is fitted on clips of the same attack, of other subjects or takes."
    ),
    further=(CONFIGURATIONS,),
)

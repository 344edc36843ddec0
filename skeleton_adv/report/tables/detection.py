"""Detectors of adversarial clips: AUC, false alarms, and the success of an attack that knows the detector."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from skeleton_adv.report import detection
from skeleton_adv.report.columns import CLIPS, GOAL, METHOD, VICTIM, Column, Row, has, number_cell, rate_cell
from skeleton_adv.report.differences import differences, distinct
from skeleton_adv.report.published import read
from skeleton_adv.report.stats import flatten, mean
from skeleton_adv.report.table import Beside, FurtherPage, Table
from skeleton_adv.report.words import attack_name, goal, victim_name
from skeleton_adv.runs.load import Run

OF_THE_DETECTOR = ("detector.network", "detector.representative", "detector.distance")
OF_THE_PARTS = ("fit_on", "judged.run", "judged.attack", "judged.clips")
OF_THE_ACCESS = ("adaptive", "joint", "joint.norm", "joint.eps", "joint.steps", "joint.weights")
DETECTOR = Column("detector", "detector", detection.detector_name, covers=OF_THE_DETECTOR)
FITTED = Column("fitted_on", "fitted on", detection.fitted_on, covers=OF_THE_PARTS)
ATTACKS = ("bim", "cw", "mi_fgsm")  # of the paper
JUDGED = ("attack", "judged", "target", "adaptive", "joint")  # settings of the judged attack


def by_configuration(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The AUC of each detector against each attack, the mean over the paper's attacks, and the paper's AUC.

    Detectors that differ in any setting have separate rows, and attacks that differ have separate columns.
    """
    found: dict[str, dict[str, Any]] = {}
    firsts: dict[str, Run] = {}
    areas: dict[str, dict[str, list[float]]] = {}
    for run, label in zip(_oblivious(runs), _labels(runs), strict=True):
        key = _configuration(run)
        firsts.setdefault(key, run)
        fit = detection.fitted_on(run).partition(" (")[0]
        row = found.setdefault(key, {"model": victim_name(run), "setting": goal(run), "fit": fit})
        value = detection.area(*detection.scores(run)).value
        row |= {"detector": detection.detector_name(run), f"auc {label}": value}
        areas.setdefault(key, {}).setdefault(run.attack, []).append(value)
    paper = read("massoli").set_index(["setting", "configuration"])
    for key, row in found.items():
        same = [one for other, one in firsts.items() if _lead(found[other]) == _lead(row)]
        row["differs"] = dict(zip(same, differences(same, _not_of_configuration(same)), strict=True))[firsts[key]]
        if all(name in areas[key] for name in ATTACKS):
            row["macro"] = mean(np.array([mean(np.array(areas[key][name])) for name in ATTACKS]))
        if (row["setting"], row["detector"]) in paper.index:
            row |= {f"paper_{name}": paper.loc[(row["setting"], row["detector"]), name] for name in (*ATTACKS, "macro")}
    return sorted(found.values(), key=lambda row: (*_lead(row), row["differs"]))


def _lead(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in ("model", "setting", "fit", "detector"))


def _oblivious(runs: Sequence[Run]) -> list[Run]:
    return [run for run in runs if run.access == "oblivious"]


def _configuration(run: Run) -> str:
    """The victim with its weights, the goal, and all settings that do not belong to the judged attack."""
    own = sorted(flatten(run.settings).items())
    return repr([run.victim, run.choices["detector"], [(k, v) for k, v in own if k.partition(".")[0] not in JUDGED]])


def _not_of_configuration(runs: Sequence[Run]) -> set[str]:
    return {key for run in runs for key in flatten(run.settings) if key.partition(".")[0] in JUDGED}


def _labels(runs: Sequence[Run]) -> list[str]:
    """The judged attack of each oblivious run; attacks that would share a cell are named by what differs."""
    made = _oblivious(runs)
    rows = [_configuration(run) for run in made]
    names = distinct([attack_name(run) for run in made], rows, [flatten(run.of_attack) for run in made])
    names = distinct(names, rows, [{"attack": run.settings["judged"]["run"]} for run in made])
    return distinct(names, rows, [{"run": run.identity} for run in made])


def _columns(runs: Sequence[Run]) -> list[Column]:
    lead = [Column("setting", "goal"), Column("model", "victim"), Column("detector", "detector")]
    own = [Column(f"auc {name}", name, show=number_cell()) for name in sorted({*_labels(runs)})]
    own += [Column("macro", f"mean of {', '.join(ATTACKS)}", show=number_cell())]
    theirs = [Column(f"paper_{name}", f"{name}: paper", show=number_cell()) for name in ATTACKS]
    theirs += [Column("paper_macro", "mean: paper", show=number_cell())]
    return [*lead, Column("fit", "fitted on"), *own, *theirs]


def _budget(run: Run) -> dict[str, Any]:
    """The budget of the adaptive attack, which may differ from that of the judged one."""
    joint = run.settings.get("joint") or {}
    return {"joint_norm": joint.get("norm"), "joint_eps": joint.get("eps")}


def _budget_cell(row: Row, key: str) -> str:
    eps = key.replace("joint_norm", "joint_eps")
    return f"{row[key]} ε={row[eps]:g}" if has(row, key) and has(row, eps) else ""


CONFIGURATIONS = FurtherPage(
    name="_configurations",
    heading="AUC of each detector against each attack and the mean over the paper's attacks (if all of them were "
    "judged), beside Tables 1 and 2 of Massoli et al. (arXiv 1912.02918), which are of faces:",
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
        Column("joint_norm", "budget", _budget, _budget_cell, always=True),
        Column("false_alarms", "false alarms at 95 % detection", detection.false_alarms, rate_cell),
        Column("alarms", "false alarms", detection.alarms, rate_cell, once=True),
        Column("detected", "detected", detection.detected, rate_cell),
        Column("success", "success", detection.success, rate_cell),
    ),
    also=(Column("rms_mm", "", lambda run: mean(run.array("rms_mm")[detection.counted(run)])),),
    notes=lambda runs: (
        "Oblivious: the attack does not see the detector. Adaptive: the attack is made on the victim and the detector "
        "at once, on the same clips, within the budget that the table gives, which may be another than that of the "
        "judged attack. AUC: area under the ROC curve with its 95 % interval and the number of adversarial clips, over "
        "clips that are correct before, whose class is not the target, and that the attack fools. The interval assumes "
        "independent clips, but natural and adversarial clips are the same clips: it is too wide if the score of a "
        "clip after the attack rises with its score before, and too narrow if it falls. Success without alarm: the "
        "victim is fooled and the detector raises no alarm, among clips that are correct before. The threshold is "
        "chosen on held-out natural clips for 5 % false alarms; false alarms are those on the judged natural clips. "
        "False alarms at 95 % detection: at the threshold that detects 95 % of the adversarial clips. Seen: the "
        "detector is fitted on clips of the same attack, made from other clips than the judged ones."
    ),
    further=(CONFIGURATIONS,),
)

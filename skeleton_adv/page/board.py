"""The leaderboard: one row per attack, the most robust victims of each threat model, and certificates."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from skeleton_adv.page.names import apart, with_unit
from skeleton_adv.report import words
from skeleton_adv.report.columns import (
    ACCURACY,
    CLEAN,
    CLIPS,
    FEASIBLE_IF_RIGHT,
    L2,
    METHOD,
    RMS,
    SUCCESS,
    SUCCESS_IF_RIGHT,
    Column,
    has,
    rate_cell,
)
from skeleton_adv.report.paired import by_victim, comparable
from skeleton_adv.report.show import by_dataset
from skeleton_adv.report.tables import by_table, threat
from skeleton_adv.report.tables.certified import TABLE as CERTIFIED
from skeleton_adv.report.weakness import sees_all, signs
from skeleton_adv.runs.load import Run

RATES = (CLEAN, ACCURACY, SUCCESS_IF_RIGHT, FEASIBLE_IF_RIGHT, SUCCESS)
SIZES = (RMS, L2)
PAPER = {"paper_success": "success", "paper_accuracy": "accuracy"}
SAME = ("threat", "victim", "defense", "attack", "goal", "access", "surrogate")  # what names a row of a dataset
RADII = ("standard_0", "standard_0.1", "standard_0.25", "standard_0.5")


def key_of(run: Run) -> str:
    """What names a run on the page."""
    return f"{run.dataset}/{run.kind}/{run.identity}"


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def rate_of(row: Mapping[str, Any], key: str) -> dict[str, Any]:
    """A rate as the page shows it: its ends in per cent, and the text of the tables."""
    if not has(row, f"{key}_hits") or not row[f"{key}_clips"]:
        return {"text": "", "value": None}
    ends = {
        name: round(100 * row[f"{key}{end}"], 3) for name, end in (("value", ""), ("low", "_low"), ("high", "_high"))
    }
    return {**ends, "text": rate_cell(row, key)}


def attacks(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per attack, of any dataset, with the numbers of the tables."""
    found = []
    for here in by_dataset(runs):
        own = [run for run in here if run.kind == "attack"]
        if not own:
            continue
        papers, names = published(here), words.network_names(own, noise=True)
        weak = {key_of(run) for run, _ in signs(own, here)}
        values = [column.of(own) for column in (*RATES, *SIZES, *METHOD, CLIPS)]
        rows = [{name: value for values_of in values for name, value in values_of(run).items()} for run in own]
        named = [_named(run, row, names) for run, row in zip(own, rows, strict=True)]
        differs = apart(own, [tuple(one[name] for name in SAME) for one in named])
        for run, row, name, other in zip(own, rows, named, differs, strict=True):
            found.append(
                {
                    **name,
                    "apart": other,
                    **{column.key: rate_of(row, column.key) for column in RATES},
                    **{column.key: _size(column, row) for column in SIZES},
                    "unit": words.unit_of([run]).length,
                    "small": words.unit_of([run]).small,
                    "paper": papers.get(key_of(run), ""),
                    "weak": key_of(run) in weak,
                }
            )
    return found


def _named(run: Run, row: Mapping[str, Any], names: Mapping[str, Any]) -> dict[str, Any]:
    """What names a row of the leaderboard."""
    return {
        "run": key_of(run),
        "dataset": run.dataset,
        "threat": run.threat or "limits of the body",
        "victim": names["model"](run),
        "defense": run.defense or "",
        "attack": with_unit(run, METHOD[0].show(row, "attack")),
        "goal": words.goal(run) + (f", {run.target}" if run.target else ""),
        "access": run.access,
        "surrogate": names["surrogate"](run) if run.surrogate else "",
        "clips": CLIPS.show(row, "clips"),
        "count": run.done,
    }


def _size(column: Column, row: Mapping[str, Any]) -> dict[str, Any]:
    return {"value": row.get(column.key), "text": column.show(row, column.key)}


def published(runs: Sequence[Run]) -> dict[str, str]:
    """The published cell beside each run of one dataset, as text, from the tables that have one."""
    found: dict[str, str] = {}
    for table, own in by_table(runs):
        if table.published is None:
            continue
        by_identity = {run.identity: run for run in own}
        for row in _records(table.rows(own)):
            cells = [f"{100 * row[key]:.1f} % {name}" for key, name in PAPER.items() if has(row, key)]
            for name, identity in row.items():
                if (name == "run" or name.endswith("_run")) and identity in by_identity and cells:
                    found.setdefault(key_of(by_identity[identity]), cells[0])
    return found


def victims(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The worst case of each victim under each threat model, as in the tables, the most robust victim first."""
    found = []
    for here in by_dataset([run for run in runs if run.kind == "attack"]):
        weak = {key_of(run) for run, _ in signs(here, [one for one in runs if one.dataset == here[0].dataset])}
        for name in sorted({run.threat for run in here if run.threat}):
            own = [run for run in here if run.threat == name]
            names, auto, rows = words.network_names(own, noise=True), _autoattack(own), []
            for group in by_victim(own):
                for row in threat.worst_cases(group):
                    victim = names["model"](group[0])
                    rows.append(
                        {
                            "dataset": here[0].dataset,
                            "threat": name,
                            "victim": victim,
                            **_worst(group, row, weak),
                            "autoattack": auto.get((victim, row["defense"]), {"text": "", "value": None}),
                        }
                    )
            found += sorted(rows, key=lambda row: -(row["worst_case"]["value"] or 0))
    return found


def _worst(group: Sequence[Run], row: Mapping[str, Any], weak: set[str]) -> dict[str, Any]:
    """The worst case over the attacks on one victim, which runs count, and why the others do not."""
    seen = [run for run in group if run.access in threat.SEES and not run.randomised]
    counted = comparable(seen)
    why = Counter(_why_not(run) for run in group if run not in counted)
    return {
        "defense": row["defense"] or "",
        "attacks": row["attacks"],
        "counted": [key_of(run) for run in counted],
        "left_out": [[count, text] for text, count in sorted(why.items())],
        "weak": any(key_of(run) in weak for run in counted),
        "clips": row["paired_clips"],
        "worst_case": rate_of(row, "worst_case"),
        "strongest": row["strongest"],
        "strongest_success": rate_of(row, "strongest_success"),
    }


def _why_not(run: Run) -> str:
    """Why a run is not part of the worst case of its victim."""
    if run.access in threat.SEES:
        return "drew noise" if run.randomised else "on fewer than half as many clips"
    others = {"scores": "saw scores only", "labels": "saw labels only", "none": "saw nothing of the victim"}
    if run.access == "transfer":
        return "made on the victim itself, beside transfer" if sees_all(run) else "made on another network"
    return others.get(run.access, run.access)


def _autoattack(runs: Sequence[Run]) -> dict[tuple[str, str | None], dict[str, Any]]:
    """The accuracy of each victim under AutoAttack, and its run."""
    names, accuracy, found = words.network_names(runs, noise=True), ACCURACY.of(runs), {}
    for run in runs:
        if run.attack.startswith("autoattack") and run.access in threat.SEES and not run.targeted:
            found[names["model"](run), run.defense] = {**rate_of(accuracy(run), ACCURACY.key), "run": key_of(run)}
    return found


def certificates(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per certified victim, with the numbers of the table of certificates."""
    found = []
    for here in by_dataset([run for run in runs if run.kind == "certificate" and run.noise_space == "joints"]):
        by_identity = {run.identity: run for run in here}
        for row in _records(CERTIFIED.rows(here)):
            run = by_identity[row["run"]]
            found.append(
                {
                    "run": key_of(run),
                    "dataset": run.dataset,
                    "victim": row["victim"],
                    "defense": run.defense or "",
                    "sigma": row["sigma"],
                    "n": row["n"],
                    "clips": CLIPS.show(row, "clips"),
                    "unit": words.unit_of([run]).length,
                    "clean_accuracy": rate_of(row, "clean_accuracy"),
                    **{key: rate_of(row, key) for key in RADII},
                }
            )
    return found

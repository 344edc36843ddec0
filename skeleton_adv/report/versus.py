"""C&W compared with ADMM over the clips on which both succeed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from skeleton_adv.report.columns import Column, Row, Scope, has, number_cell, text_cell
from skeleton_adv.report.differences import differences
from skeleton_adv.report.stats import mean
from skeleton_adv.report.table import FurtherPage
from skeleton_adv.report.weakness import common_clips, same_goal
from skeleton_adv.report.white_box import BY_BETA, is_white_box
from skeleton_adv.report.words import goal
from skeleton_adv.runs.load import Run

BOTH = ("cw", "admm")


def _measures(run: Run) -> list[str]:
    names = [f"{name}_{what}" for name in run.constraints for what in ("mean", "max")]
    return ["l2", *names, "kinetic"]


def rows(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The mean measures of both: one row per pair of runs with the same victim, weights, clips and goal."""
    ours = {key for column in BY_BETA if column.key != "keep" for key in column.covers} - {"checkpoint"}
    goals: dict[Any, list[Run]] = {}
    for run in runs:
        if is_white_box(run, "ADMM"):
            goals.setdefault(same_goal(run), []).append(run)
    found = []
    for cw in (run for run in runs if is_white_box(run, "C&W")):
        same = goals.get(same_goal(cw), [])
        found += [
            _row(cw, admm) | {"differs": apart} for admm, apart in zip(same, differences(same, ours), strict=True)
        ]
    return sorted(found, key=lambda row: (row["setting"] != "untargeted", row["model"], row["attack"], row["beta"]))


def _row(cw: Run, admm: Run) -> dict[str, Any]:
    both = common_clips(cw, admm)
    fooled = [run.array("success")[places] for run, places in zip((cw, admm), both, strict=True)]
    chosen = fooled[0] & fooled[1] & cw.array("clean_correct")[both[0]] & cw.aimed[both[0]]
    places = {name: one[chosen] for name, one in zip(BOTH, both, strict=True)}
    l2 = {name: run.array("l2")[places[name]] for name, run in zip(BOTH, (cw, admm), strict=True)}
    row: dict[str, Any] = {
        "setting": goal(cw),
        "model": cw.victim,
        "attack": admm.attack,
        "beta": admm.of_attack["beta"],
        "clips": int(chosen.sum()),
        "cw_shorter": mean(np.less(l2["cw"], l2["admm"]).astype(float)),
    }
    names = [name for name in _measures(cw) if name in admm.records]
    return row | {
        f"{name}_{kind}": mean(run.array(name)[places[kind]])
        for name in names
        for kind, run in zip(BOTH, (cw, admm), strict=True)
    }


def _pair(form: str, factor: float = 1) -> Callable[[Row, str], str]:
    """Writes a measure of both attacks as C&W / ADMM."""

    def cell(row: Row, key: str) -> str:
        values = [factor * row[name] for kind in BOTH if has(row, name := f"{key}_{kind}")]
        return " / ".join(format(value, form) for value in values)

    return cell


def _constraints(scope: Scope) -> list[Column]:
    found = []
    for name, one in scope.constraints.items():
        factor, unit = (100, " %") if one["unit"] == "share" else (1, f" {one['unit']}")
        found.append(Column(f"{name}_mean", f"{one['symbol']}{unit}", show=_pair(".3g", factor)))
        found.append(Column(f"{name}_max", f"{one['symbol']}{unit} max", show=_pair(".3g", factor)))
    return found


AGAINST_ADMM = FurtherPage(
    name="_against_admm",
    heading="Means over the clips that are correct before the attack and on which both attacks succeed, as C&W / ADMM:",
    rows=rows,
    of_all=True,
    columns=lambda runs: (
        Column("setting", "goal"),
        Column("model", "victim"),
        Column("attack", "against", show=lambda row, key: f"{row['attack']} β={row['beta']:g}"),
        Column("clips", "clips on which both succeed", show=lambda row, key: text_cell(row, key) or "0"),
        Column("l2", "ℓ2 {length}", show=_pair(".3f")),
        Column("cw_shorter", "ℓ2 of C&W is smaller, % of clips", show=number_cell(".1f", 100)),
        _constraints,
        Column("kinetic", "ΔK/K %", show=_pair(".2f", 100)),
    ),
)

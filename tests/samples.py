"""Small runs of each kind for tests of tables and figures, written and read by the program itself."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.runs.folder import RunFolder
from skeleton_adv.runs.load import Run, load_run
from skeleton_adv.runs.schema import ATTACK, CERTIFICATE, KINDS, constraint_columns

CONSTRAINTS = {
    one.name: {"symbol": one.symbol, "unit": one.unit, "remark": one.remark(KINECT20)}
    for one in (BoneLength(), JointAngle(), Speed())
}
TYPES = {"int": 0, "float": 0.125, "bool": False, "text": ""}


def kind_of(value: Any) -> str:
    """The column kind of a plain value."""
    kinds = {bool: "bool", int: "int", float: "float"}
    return kinds.get(type(value), "text")


def about(**changes: Any) -> dict[str, Any]:
    """What ``run.json`` contains about ADMM against HCN; ``settings`` and ``choices`` are merged."""
    settings = {
        "attack": {"beta": 1.0, "lr": 0.001, "conf": 1.0, "keep": "last"},
        "defense": {},
        "targeted": False,
        "target": None,
        "seed": 0,
        "checkpoint": "weights",
        "prepared": "clips",
    }
    choices = {"model": "hcn", "attack": "admm", "defense": "none", "dataset": "utd_mhad", "model@surrogate": None}
    facts: dict[str, Any] = {
        "identity": "abc",
        "dataset": "utd_mhad",
        "unit": "m",
        "stand_in": True,
        "stands_for": "NTU RGB+D, cross-subject",
        "access": "white box",
        "randomised": False,
        "training": {"name": "none"},
        "trained_noise": 0.0,
        "seeds": {"model": 0},
        "experiment": None,
        "constraints": CONSTRAINTS,
        "num_frames": 32,
        "num_classes": 27,
        "done": 6,
        "total": 430,
        "command": "python -m skeleton_adv",
    }
    more = {"settings": settings | changes.pop("settings", {}), "choices": choices | changes.pop("choices", {})}
    return facts | changes | more


def old_form(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What an earlier version wrote about such a run."""
    new = ("unit", "stands_for", "access", "randomised", "training", "experiment", "constraints", "sweep")
    return {name: value for name, value in facts.items() if name not in new}


def six_rows(**columns: Any) -> list[dict[str, Any]]:
    """Correct before: 0 to 3. Fooled: 0, 1, 2 and 4 (which is wrong before). Feasible: 0, 4 and 5.

    ``columns``: one value for all rows, or a list of values.
    """
    base = {
        "index": [*range(6)],
        "name": [f"clip_{index}" for index in range(6)],
        "label": 1,
        "target": -1,
        "judgements": 1,
        "clean_pred": 1,
        "adv_pred": 2,
        "clean_correct": [index < 4 for index in range(6)],
        "success": [index in (0, 1, 2, 4) for index in range(6)],
        "found": True,
        "feasible": [index in (0, 4, 5) for index in range(6)],
        "bone_mean": [index / 100 for index in range(6)],
        "bone_max": [0.1, 0.1, 0.1, 0.1, 0.1, 0.7],
        "kinetic": [math.nan if index == 5 else 0.02 * index for index in range(6)],
        "control_share": 0.0,
        "gradient": 1.0,
        "forwards": 3,
        "gradients": 2,
    }
    base |= columns
    kinds = {**ATTACK.columns, **constraint_columns(CONSTRAINTS)}
    held = {name: base.get(name, TYPES[kind]) for name, kind in kinds.items()} | base
    rows = [{name: each[row] if isinstance(each, list) else each for name, each in held.items()} for row in range(6)]
    for row in rows:
        row |= {"clean_share": float(row["clean_correct"]), "success_share": float(row["success"])} | {
            name: row[name] for name in ("clean_share", "success_share") if name in columns
        }
        row["adv_share"] = row["adv_share"] if "adv_share" in columns else float(row["adv_pred"] == row["label"])
    return rows


def write(folder: Path, facts: Mapping[str, Any], rows: list[dict[str, Any]], kind: str = "attack") -> Path:
    """Write a run as the program does."""
    made = RunFolder(folder, KINDS[kind])
    known = {**KINDS[kind].columns, **constraint_columns(facts.get("constraints", {}))}
    columns = known | {name: kind_of(value) for name, value in rows[0].items() if name not in known}
    made.begin(columns, {row["index"]: row["name"] for row in rows})
    made.append(rows)
    made.end(facts)
    return folder


def run(
    rows: list[dict[str, Any]] | None = None, folder: Path | None = None, kind: str = "attack", **facts: Any
) -> Run:
    """A run as the program writes and reads it; without ``folder`` nothing remains on the disk."""
    with TemporaryDirectory() as temporary:
        place = write(folder or Path(temporary) / "run", about(**facts), rows or six_rows(), kind)
        found = load_run(place)
    assert found is not None
    return found if folder else replace(found, folder=None)


def admm(beta: float = 1.0, rows: list[dict[str, Any]] | None = None, **facts: Any) -> Run:
    """ADMM with this beta."""
    attack = about()["settings"]["attack"] | {"beta": beta} | facts.pop("attack", {})
    return run(rows, settings={"attack": attack} | facts.pop("settings", {}), **facts)


def cw(rows: list[dict[str, Any]] | None = None, **facts: Any) -> Run:
    settings = {"attack": {"c": 0.01, "conf": 0.0}} | facts.pop("settings", {})
    return run(rows, choices={"attack": "cw"} | facts.pop("choices", {}), settings=settings, **facts)


def transfer(target: str, beta: float, rows: list[dict[str, Any]] | None = None, **facts: Any) -> Run:
    """ADMM on an HCN with another seed, judged by ``target``."""
    choices = {"model": target, "model@surrogate": "hcn"}
    settings = {"surrogate_checkpoint": "other weights"} | facts.pop("settings", {})
    seeds = {"model": 0, "surrogate": facts.pop("surrogate", 1)}
    return admm(beta, rows, choices=choices, access="transfer", seeds=seeds, settings=settings, **facts)


def defended(sigma: float, adaptive: bool, share: float, rows: Mapping[str, Any] | None = None, **facts: Any) -> Run:
    """ADMM against HCN behind noise and filter; ``share`` of the judgements stay correct."""
    defense = {"sigma": sigma, "taps": 5, "draws": 50, "eot": 8}
    settings = {"defense": defense, "adaptive": adaptive, "judgements": 10} | facts.pop("settings", {})
    columns = {"adv_share": share, "success_share": 1 - share, "clean_share": 0.9, "judgements": 10}
    return run(
        six_rows(**columns | dict(rows or {})),
        choices={"defense": "noise_filter"} | facts.pop("choices", {}),
        access="adaptive" if adaptive else "oblivious",
        randomised=True,
        settings=settings,
        **facts,
    )


def certified(sigma: float = 0.25, identity: str = "abc", **facts: Any) -> Run:
    """Correct and certified up to 0.1 and 0.6; abstained; wrong with a radius of 0.9."""
    columns = {
        "index": [0, 1, 2, 3],
        "name": ["a", "b", "c", "d"],
        "clean_correct": [True, True, True, False],
        "correct": [True, True, False, False],
        "abstained": [False, False, True, False],
        "radius": [0.1, 0.6, 0.0, 0.9],
        "rms_mm": [1.0, 6.0, 0.0, 9.0],
        "paper_radius": [0.2, 0.7, 0.3, -1.0],
    }
    kinds = CERTIFICATE.columns.items()
    rows = [{name: columns[name][row] if name in columns else TYPES[kind] for name, kind in kinds} for row in range(4)]
    settings = {"smoothing": {"sigma": sigma, "n": 1000, "alpha": 0.001}} | facts.pop("settings", {})
    given = {"trained_noise": 0.25, "done": 4, "access": "none", "constraints": {}, "identity": identity} | facts
    return run(rows, kind="certificate", settings={"attack": {}} | settings, **given)

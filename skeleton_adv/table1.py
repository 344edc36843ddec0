"""Table 1: the ADMM attack, the paper's cells beside ours. Pure functions of records."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from skeleton_adv.errors import RunError
from skeleton_adv.summary import Run, differences, measures, rates

PAPER = Path(__file__).parent / "paper"
PAPER_MODELS = {"hcn": "hcn", "agcn": "2s-agcn"}
PAPER_SETS = {"ntu60_cv": "CV", "ntu60_cs": "CS", "synthetic_cv": "CV"}
BETAS = (0.1, 1.0, 10.0)
OWN_KEYS = ("attack.beta", "targeted", "target")  # the rows show these themselves


def table1(runs: Sequence[Run]) -> pd.DataFrame:
    """Table 1, a row for each run on one dataset and for each cell of the paper's grid that was not run.

    Columns ``paper_*`` are the paper's cells; rates are fractions, lengths metres, angles radians.
    """
    runs = [run for run in runs if belongs(run)]
    if len({run.about["dataset"] for run in runs}) > 1:
        raise RunError("Table 1 is of one dataset; these runs are of several")
    rows: list[dict[str, Any]] = []
    covered = set()
    for run, apart in zip(runs, differences(runs, OWN_KEYS), strict=True):
        rows.append(_row(run) | {"differs": apart})
        covered.add(tuple(rows[-1][name] for name in ("setting", "model", "attack", "beta")))
    for victim, attack in sorted({(run.about["choices"]["model"], run.about["choices"]["attack"]) for run in runs}):
        for setting in ("untargeted", "targeted"):
            for beta in BETAS:
                if (setting, victim, attack, beta) not in covered:
                    empty = {"setting": setting, "model": victim, "attack": attack, "beta": beta, "clips": 0}
                    rows.append(empty | _paper_cells(setting, victim, runs[0].about["dataset"], beta))
    if not rows:
        return pd.DataFrame()
    frame = pd.DataFrame(rows)
    frame["order"] = frame["setting"] != "untargeted"
    return frame.sort_values(["order", "model", "attack", "beta"], ignore_index=True, kind="stable").drop(
        columns="order"
    )


def belongs(run: Run) -> bool:
    """Whether a run is one of Table 1's: ADMM on an undefended victim."""
    choices = run.about["choices"]
    return choices["attack"] in ("admm", "admm_released") and choices["defense"] == "none"


def _row(run: Run) -> dict[str, Any]:
    about = run.about
    setting = "targeted" if about["settings"]["targeted"] else "untargeted"
    row: dict[str, Any] = {
        "setting": setting,
        "model": about["choices"]["model"],
        "attack": about["choices"]["attack"],
        "beta": run.attack["beta"],
        "target": about["settings"]["target"] or "",
        "conf": run.attack.get("conf"),
        "clips": about["done"],
        "test_clips": about["total"],
    }
    for name, rate in rates(run).items():
        low, high = rate.interval
        row |= {name: rate.value, f"{name}_hits": rate.hits, f"{name}_clips": rate.count}
        row |= {f"{name}_low": low, f"{name}_high": high}
    row |= measures(run) | {"run": about["identity"]}
    return row | _paper_cells(setting, row["model"], about["dataset"], row["beta"])


def _paper_cells(setting: str, model: str, dataset: str, beta: float) -> dict[str, Any]:
    """The paper's cells for a row, in our units; a missing one is not in the source or not in the paper."""
    paper = pd.read_csv(PAPER / "table1.csv")
    split = PAPER_SETS.get(dataset, "CS")
    cell = paper[
        (paper["setting"] == setting)
        & (paper["model"] == PAPER_MODELS.get(model, model))
        & (paper["split"] == split)
        & (paper["beta"] == beta)
    ]
    if cell.empty:
        known = model in PAPER_MODELS and beta in BETAS
        return {"paper_note": "not in the source" if known else "not in the paper"}
    found = cell.iloc[0]
    return {
        "paper_split": split,
        "paper_success": found["success_rate"] / 100,
        "paper_bone": found["bone_length"] / 100,
        "paper_angle": found["joint_angle"],
        "paper_kinetic": found["kinetic_energy"] / 100,
        "paper_l2": found["l2"],
    }


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: percentages with intervals, the paper's cell before ours."""
    rows = []
    for _, row in frame.iterrows():
        paper = row.get("paper_note") if isinstance(row.get("paper_note"), str) else None
        target = f", {row['target']}" if isinstance(row.get("target"), str) and row["target"] else ""
        lead = {
            "setting": row["setting"] + target,
            "victim": row["model"],
            "attack": row["attack"],
            "β": f"{row['beta']:g}",
        }
        success = paper or f"{100 * row['paper_success']:.1f}"
        if not row["clips"]:
            rows.append(lead | {"clips": "not run", "success: paper": success})
            continue
        rows.append(
            lead
            | {
                "clips": f"{row['clips']:.0f} of {row['test_clips']:.0f}",
                "clean accuracy": _interval(row, "clean_accuracy"),
                "success: paper": success,
                "success: ours": _interval(row, "success"),
                "success if first right": _interval(row, "success_if_right"),
                "feasible success": _interval(row, "feasible_success"),
                "feasible if first right": _interval(row, "feasible_success_if_right"),
                "ΔB/B %: paper": _percent(row, "paper_bone"),
                "ΔB/B %: ours": _percent(row, "bone"),
                "ΔB/B % max": _maxima(row, "bone", 100),
                "ΔJ rad: paper": _number(row, "paper_angle"),
                "ΔJ rad: ours": _number(row, "angle"),
                "ΔJ rad max": _maxima(row, "angle"),
                "true angle rad": _number(row, "true_angle"),
                "ΔS/S %": _percent(row, "speed"),
                "ΔS/S % max": _maxima(row, "speed", 100),
                "ΔK/K %: paper": _percent(row, "paper_kinetic"),
                "ΔK/K %: ours": _percent(row, "kinetic"),
                "ℓ2 m: paper": _number(row, "paper_l2"),
                "ℓ2 m: ours": _number(row, "l2"),
                "rms mm": f"{row['rms_mm']:.2f}",
                "differs": row["differs"],
            }
        )
    shown = pd.DataFrame(rows).fillna("")
    return shown.loc[:, (shown != "").any(axis=0)]


def _interval(row: pd.Series, name: str) -> str:
    low, high = (100 * row[f"{name}_{end}"] for end in ("low", "high"))
    return f"{100 * row[name]:.1f} [{low:.1f}, {high:.1f}] ({row[f'{name}_hits']:.0f}/{row[f'{name}_clips']:.0f})"


def _percent(row: pd.Series, name: str) -> str:
    return f"{100 * row[name]:.2f}" if name in row and pd.notna(row[name]) else ""


def _number(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3f}" if name in row and pd.notna(row[name]) else ""


def _maxima(row: pd.Series, name: str, factor: float = 1) -> str:
    mean, median = (factor * row[f"{name}_max_{kind}"] for kind in ("mean", "median"))
    return f"{mean:.3g} / {median:.3g}"


def title(runs: Sequence[Run]) -> str:
    """What was measured, where, and in which space."""
    about = runs[0].about
    stand_in = ", a stand-in for the paper's NTU RGB+D" if about["stand_in"] else ""
    frames = sorted({run.about["num_frames"] for run in runs})
    conf = sorted({run.attack["conf"] for run in runs})
    return (
        f"Table 1: ADMM attack, white box, on {about['dataset']}{stand_in} "
        f"(camera space, metres, T={'/'.join(map(str, frames))}, "
        f"{about['num_classes']} classes, confidence {'/'.join(f'{value:g}' for value in conf)})"
    )


NOTES = (
    "Rates are percentages with 95 % Wilson intervals and counts. Success is over all clips, as in the paper; "
    "targeted, clips whose label is the target are left out. First right: clips that the victim classified rightly "
    "before. Feasible: no bone, angle estimate or speed exceeds its tolerance in any frame. ΔB/B, ΔJ, ΔS/S, ΔK/K: "
    "means over a clip's entries, then over clips; max: the per-clip maximum, mean / median over clips. True angle: "
    "mean change of the angle itself. rms mm: ℓ2 as root mean square a joint and frame."
)

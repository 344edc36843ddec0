"""The charts of the page, as numbers: success by size and budget, certificates, convergence, and transfer."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.page.board import key_of
from skeleton_adv.page.names import plain, with_unit
from skeleton_adv.report.certificates import accuracy_by_radius
from skeleton_adv.report.clips_to_draw import mean_trace
from skeleton_adv.report.columns import format_count
from skeleton_adv.report.differences import differences
from skeleton_adv.report.draw import Drawing, group_sources
from skeleton_adv.report.figures import (
    certified_accuracy,
    convergence,
    robust_accuracy,
    success_by_l2,
    transfer,
)
from skeleton_adv.report.show import by_dataset
from skeleton_adv.report.words import (
    attack_name,
    attack_summary,
    clip_count,
    data_summary,
    goal,
    network_names,
    unit_of,
    victim_name,
)
from skeleton_adv.runs.load import Run

Chart = dict[str, Any]
POINTS = 60  # of a curve; more are thinned evenly, and the last one stays
SEEN = {  # what an attack sees of its victim
    "white box": "",
    "scores": "sees scores only",
    "labels": "sees labels only",
    "none": "sees nothing of the victim",
}
STEPS = [round(0.02 * step, 2) for step in range(101)]


def charts(runs: Sequence[Run]) -> list[Chart]:
    """Every chart that these runs allow."""
    kinds: tuple[tuple[str, Drawing[Run], Callable[[list[Run]], Iterator[Chart]]], ...] = (
        ("size", success_by_l2.FIGURE, _by_size),
        ("budget", robust_accuracy.FIGURE, _by_budget),
        ("certified", certified_accuracy.FIGURE, _certified),
        ("convergence", convergence.FIGURE, _convergence),
        ("transfer", transfer.FIGURE, _transfer),
    )
    found = []
    for here in by_dataset(runs):
        for kind, figure, draw in kinds:
            taken = [run for run in here if figure.takes(run)]
            drawn = [
                (group, {"kind": kind, "name": f"{here[0].dataset}_{name}", "dataset": here[0].dataset, **chart})
                for name, group in group_sources(taken, figure.name, figure.apart)
                for chart in draw(group)
            ]
            found += _told_apart(drawn, here)
    return found


def _told_apart(drawn: Sequence[tuple[list[Run], Chart]], runs: Sequence[Run]) -> list[Chart]:
    """The charts of one kind; those with the same title also say in what their runs differ."""
    named, found = network_names(runs, noise=True)["model"], []
    for group, chart in drawn:
        alike = [other for other, one in drawn if one["title"] == chart["title"]]
        if len(alike) > 1:
            facts = [_facts(other, named) for other in alike]
            place = next(place for place, other in enumerate(alike) if other is group)
            varied = _apart(facts)[place] or [f"first run {group[0].identity}"]
            chart = {**chart, "title": f"{chart['title']}, {', '.join(varied)}"}
        found.append(chart)
    return found


def _apart(facts: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """For each of these the first facts that distinguish it from the others; empty if none do."""
    columns = [column for column in zip(*facts, strict=True) if len({*column}) > 1]
    for count in range(1, len(columns) + 1):
        found = [*zip(*columns[:count], strict=True)]
        if len({*found}) == len(found):
            return [[*one] for one in found]
    return [[] for _ in facts]


def _facts(runs: Sequence[Run], named: Callable[[Run], str]) -> tuple[str, ...]:
    """What may distinguish two charts of one victim and goal: its training, the clips, and the attacks."""
    names = sorted({run.attack for run in runs})
    threats = sorted({run.threat or "limits of the body" for run in runs})
    shown = [
        " and ".join(some[:2]) + (f" and {len(some) - 2} more" if len(some) > 2 else "") for some in (names, threats)
    ]
    return (named(runs[0]), clip_count(runs), f"of {runs[0].total} clips", *shown)


def _line(
    label: str, frame: pd.DataFrame, x: str, y: str, low: str = "", high: str = "", **more: Any
) -> dict[str, Any]:
    """One curve in per cent, thinned."""
    rows = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, POINTS).round().astype(int))]
    ends = {
        name: [round(100 * float(one), 2) for one in rows[key]] for name, key in (("low", low), ("high", high)) if key
    }
    values = [round(100 * float(one), 2) for one in rows[y]]
    return {"label": label, "x": [float(f"{one:.4g}") for one in rows[x]], "y": values, **ends, **more}


def _labels(runs: Sequence[Run]) -> list[str]:
    """What each run's curve is called; a threat model is its name, not the constraints that it consists of."""
    found = []
    for run, apart in zip(runs, differences(runs, success_by_l2.SHOWN), strict=True):
        access = f"made on {run.surrogate}" if run.surrogate else SEEN.get(run.access, run.access)
        own = [one for one in apart.split(", ") if not one.startswith(("constraint.", "constraint="))]
        own = [plain(one) for one in own]
        found.append(", ".join(filter(None, (with_unit(run, attack_name(run)), access, run.threat or "", *own))))
    return [f"{one} ({run.identity})" if found.count(one) > 1 else one for one, run in zip(found, runs, strict=True)]


def _by_size(runs: list[Run]) -> Iterator[Chart]:
    runs = sorted(runs, key=lambda run: (run.attack, run.identity))
    lines = []
    for run, label in zip(runs, _labels(runs), strict=True):
        part = success_by_l2.cumulative(run, "rms_mm")
        last = part.iloc[-1]
        ends = ("success_low", "success_high")
        label += f": {format_count(last['success_hits'])}/{last['success_clips']:g}"
        lines.append(_line(label, part, "at_most", "success", *ends, run=key_of(run)))
    aim = goal(runs[0]) + (f" ({runs[0].target})" if runs[0].target else "")
    yield {
        "title": f"Success by size of the change: {victim_name(runs[0])}, {aim}",
        "note": "Height: the share of clips that an attack fools with a change of at most this rms, of those that the "
        f"victim gets right without an attack. Data: {data_summary(runs)[3:]}.",
        "x": f"rms per joint and frame at most, {unit_of(runs).small}",
        "y": "fooled, % of clips correct before",
        "step": "after",
        "lines": lines,
    }


def _by_budget(runs: list[Run]) -> Iterator[Chart]:
    if len({run.of_attack["eps"] for run in runs}) < 2:
        return
    frame, norm = robust_accuracy.accuracies(runs, "eps"), runs[0].of_attack.get("norm")
    clean = frame.assign(accuracy=frame["clean_accuracy"])
    symbol = {"l2": "ℓ2 ", "linf": "ℓ∞ "}.get(str(norm), "")
    yield {
        "title": f"Accuracy by budget: {runs[0].attack}, {goal(runs[0])}, against {victim_name(runs[0])}",
        "note": f"{clip_count(runs)} {data_summary(runs)}.",
        "x": f"{symbol}budget ε, {unit_of(runs).name}",
        "y": "accuracy, %",
        "lines": [
            _line("under attack", frame, "eps", "accuracy", "low", "high", marks=True),
            _line("clean clips", clean, "eps", "accuracy", dash=True),
        ],
    }


def _certified(runs: list[Run]) -> Iterator[Chart]:
    runs = sorted(runs, key=lambda run: (run.smoothing["sigma"], run.identity))
    largest = max([0.001, *(float(run.array("radius").max()) for run in runs)])
    radii = (
        [one for one in STEPS if one < largest + 0.02] if largest > 0.2 else list(np.linspace(0, 1.05 * largest, 50))
    )
    lines = []
    for run in runs:
        part = accuracy_by_radius(run, radii)
        label = f"σ={run.smoothing['sigma']:g}, ours"
        lines.append(_line(label, part, "radius", "accuracy", "low", "high", run=key_of(run)))
    for sigma, theirs in certified_accuracy.published_radii(runs[0]).groupby("sigma"):
        if sigma in {run.smoothing["sigma"] for run in runs}:
            label = f"σ={sigma:g}, {certified_accuracy.THEIRS}"
            lines.append(_line(label, theirs, "radius", "accuracy", dash=True, marks=True))
    smoothing = runs[0].smoothing
    yield {
        "title": f"Certified accuracy by radius: {victim_name(runs[0])}",
        "note": f"n={smoothing['n']}, α={smoothing['alpha']:g}, {clip_count(runs)} {data_summary(runs)}. For the "
        "smoothed victim, after resampling, for changes of existing joints.",
        "x": f"certified radius, ℓ2, {unit_of(runs).name}",
        "y": "certified accuracy, %",
        "step": "before",
        "lines": lines,
    }


def _convergence(runs: list[Run]) -> Iterator[Chart]:
    frame = mean_trace(runs[0])
    names = [name for name in frame if name not in ("step", "clips", "run")]
    rows = frame.iloc[np.unique(np.linspace(0, len(frame) - 1, 4 * POINTS).round().astype(int))]
    lines = [
        {"label": str(name), "x": rows["step"].tolist(), "y": [float(f"{one:.4g}") for one in rows[name]]}
        for name in names
    ]
    yield {
        "title": f"Terms of the objective by step: {attack_summary(runs[0])}",
        "note": f"Means over {frame['clips'][0]} clips {data_summary(runs)}.",
        "x": "step",
        "y": "mean over clips",
        "free": True,
        "lines": lines,
    }


def _transfer(runs: list[Run]) -> Iterator[Chart]:
    try:
        frame = transfer.success_rates(runs)
    except RunError:
        return  # several runs of one pair: they are in the tables
    keys = {run.identity: key_of(run) for run in runs}
    across, down = sorted({*frame["target"]}), sorted({*frame["source"]})
    cells = [
        {
            "row": down.index(row["source"]),
            "column": across.index(row["target"]),
            "value": round(100 * row[transfer.SHOWN], 2),
            "text": f"{100 * row[transfer.SHOWN]:.1f}",
            "count": f"{format_count(row[f'{transfer.SHOWN}_hits'])}/{row[f'{transfer.SHOWN}_clips']:g}",
            "run": keys[row["run"]],
        }
        for row in frame.to_dict("records")
    ]
    yield {
        "title": f"Transfer: success if correct before, %, β={frame['beta'][0]:g}",
        "note": f"Clips are made on the network of the row and judged by that of the column; {clip_count(runs)} "
        f"{data_summary(runs)}.",
        "across": across,
        "down": down,
        "cells": cells,
    }

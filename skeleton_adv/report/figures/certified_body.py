"""Figure 5 in the body's terms: certified accuracy by bone length, yaw and slow motion."""

import math
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skeleton_adv.report.bodies import CHANGES, Change, accuracy_by_change, noise_text, speaks_of
from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.words import clip_count, data_summary, victim_name
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = CHANGES[:3]
STEPS = 60


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One panel per kind of change, one line per run that says something of it; l2 certificates are dashed."""
    runs = sorted(runs, key=lambda run: (run.noise_space, run.smoothing["sigma"], run.identity))
    figure, frames = new_figure(10.5, 3.9), []
    for axes, change in zip(figure.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
        frames += _draw_panel(axes, change, runs)
    smoothing = runs[0].smoothing
    what = f"{victim_name(runs[0])}, {data_summary(runs)}, n={smoothing['n']}, α={smoothing['alpha']:g}"
    add_title(figure, f"{what}, {clip_count(runs)}")
    yield pd.concat(frames, ignore_index=True), figure, ""


def _draw_panel(axes: "Axes", change: Change, runs: Sequence[Run]) -> list[pd.DataFrame]:
    """The lines of one kind of change; a step's height is valid up to its right end."""
    taken = [run for run in runs if speaks_of(run, change.column)]
    most = max((_largest(run, change.column) for run in taken), default=0.0) or 1.0
    limits, frames = [most * step / STEPS for step in range(STEPS + 2)], []
    for run, colour in zip(runs, cycle(COLOURS), strict=False):  # a run has its colour in every panel
        if run in taken:
            part = accuracy_by_change(run, change.column, limits)
            values, dash = 100 * part[["accuracy", "low", "high"]], "--" if run.noise_space == "joints" else "-"
            label = f"{noise_text(run)}, σ={run.smoothing['sigma']:g}"
            axes.step(limits, values["accuracy"], where="pre", color=colour, ls=dash, lw=1.2, label=label)
            axes.fill_between(limits, values["low"], values["high"], step="pre", color=colour, alpha=0.12, lw=0)
            frames.append(part)
    axes.set_xlabel(change.label, fontsize=8)
    axes.set_ylim(0, 100)
    if change is PANELS[0]:
        axes.set_ylabel("certified accuracy, %")
    if taken:
        axes.legend(frameon=False, fontsize=6)
    return frames


def _largest(run: Run, column: str) -> float:
    """The largest change that is certified for a correct clip."""
    found = np.nan_to_num(run.array(column).astype(float)) * run.array("correct")
    return float(found.max()) if len(found) else math.nan


def apart(run: Run) -> Any:
    """All settings except the noise and the weights."""
    more = {name: run.smoothing.get(name) for name in ("n", "n0", "alpha")}
    return without(without(run.settings, "checkpoint"), "smoothing") | {"smoothing": more, "seeds": dict(run.seeds)}


FIGURE = Drawing(
    after="figure5_body",
    takes=lambda run: (
        run.kind == "certificate" and not run.decided and any(speaks_of(run, change.column) for change in PANELS)
    ),
    name=lambda run: "_".join(filter(None, ("figure5_body", run.victim, run.defense, f"n{run.smoothing['n']}"))),
    apart=apart,
    draw=draw,
)

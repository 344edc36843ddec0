"""Success of attacks on one victim by the size of their perturbation, cumulative."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import cycle, product
from typing import Any

import numpy as np
import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.differences import differences
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.stats import Rate
from skeleton_adv.report.words import attack_name, data_summary, goal, unit_of, victim_name
from skeleton_adv.runs.load import Run

SIZES = ("l2", "rms_mm")
SHOWN = ("attack.beta", "attack.norm", "attack.eps", "adaptive", "checkpoint")  # in every label, or shared
MOST = 4  # curves whose intervals can be distinguished


def cumulative(run: Run, size: str) -> pd.DataFrame:
    """Success over the clips that are correct before, with perturbations of at most each ``size`` that occurs.

    A clip counts by the share of judgements that it fools, as in the tables; one that diverged never counts.
    The last row is the table's success.
    """
    chosen = run.aimed & run.array("clean_correct")
    value, hits = run.array(size)[chosen], run.array("success_share")[chosen]
    hits = np.where((run.array("adv_pred")[chosen] >= 0) & np.isfinite(value), hits, 0.0)
    at_most = np.unique(np.append(value[hits > 0], 0.0))
    rows = [
        {"size": size, "at_most": float(one)} | Rate(float(hits[value <= one].sum()), len(hits)).columns("success")
        for one in at_most
    ]
    return pd.DataFrame(rows).assign(run=run.identity)


def labels(runs: Sequence[Run]) -> list[str]:
    """What each run's curve is called: the attack, its access unless it is white box, and the settings that differ."""
    found = []
    for run, apart in zip(runs, differences(runs, SHOWN), strict=True):
        access = "" if run.access == "white box" else run.access
        made = f"made on {run.surrogate}" if run.surrogate else access
        found.append(", ".join(filter(None, (attack_name(run), made, apart))))
    return [f"{one} ({run.identity})" if found.count(one) > 1 else one for one, run in zip(found, runs, strict=True)]


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One curve per attack: the share of clips correct before that it fools with at most this l2, and this rms."""
    runs = sorted(runs, key=lambda run: (attack_name(run), run.identity))
    figure = new_figure(7.0, 3.4 + 0.12 * ((len(runs) + 1) // 2))
    panels, unit, frames = figure.subplots(1, 2, sharey=True), unit_of(runs), []
    styles = cycle(product(("-", "--", ":"), COLOURS))
    for run, label, (dash, colour) in zip(runs, labels(runs), styles, strict=False):
        for axes, size in zip(panels, SIZES, strict=True):
            part = cumulative(run, size)
            frames.append(part.assign(attack=label))
            values = 100 * part[["success", "success_low", "success_high"]]
            last = part.iloc[-1]
            text = f"{label}: {last['success_hits']:g}/{last['success_clips']:g}" if size == SIZES[0] else None
            axes.step(part["at_most"], values["success"], where="post", color=colour, ls=dash, lw=1.2, label=text)
            if len(runs) <= MOST:
                low, high = values["success_low"], values["success_high"]
                axes.fill_between(part["at_most"], low, high, step="post", color=colour, alpha=0.15, lw=0)
    panels[0].set_xlabel(f"ℓ2 of the perturbation at most, {unit.name}")
    panels[1].set_xlabel(f"rms per joint and frame at most, {unit.small}")
    panels[0].set_ylabel("fooled clips, % of those correct before")
    panels[0].set_ylim(0, 100)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=6)
    aim = goal(runs[0]) + (f" ({runs[0].target})" if runs[0].target else "")
    what = f"Success by size of the perturbation, {aim}, on {victim_name(runs[0])}"
    add_title(figure, f"{what}, clips correct before {data_summary(runs)}")
    yield pd.concat(frames, ignore_index=True), figure, ""


def apart(run: Run) -> Any:
    """The victim with its weights and defense, the goal, and the clips with their targets."""
    clips = hashlib.sha256()
    for name in ("index", "label", "target"):
        clips.update(run.array(name).astype("int64").tobytes())
    names = ("model", "dataset", "checkpoint", "prepared", "target", "judgements")
    # How many draws an attack averages over belongs to the attack.
    defense = [run.choices["defense"], without(run.of_defense, "eot")]
    return [run.victim, defense, [run.settings.get(name) for name in names], run.targeted, clips.hexdigest()]


FIGURE: Drawing[Run] = Drawing(
    after=None,
    takes=lambda run: run.kind == "attack" and bool((run.aimed & run.array("clean_correct")).any()),
    name=lambda run: "_".join(filter(None, ("success_by_l2", run.victim, run.defense, goal(run)))),
    apart=apart,
    draw=draw,
)

"""Accuracy of a victim on each class, before and under an attack."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure, shorten
from skeleton_adv.report.draw import Drawing, Picture, attack_file_name
from skeleton_adv.report.stats import rate
from skeleton_adv.report.words import attack_summary, class_name, clips_attacked, data_summary
from skeleton_adv.runs.load import Run

SERIES = (  # key, label, colour, marker, offset
    ("clean_accuracy", "before the attack", COLOURS[0], "o", -0.13),
    ("adv_accuracy", "under attack", COLOURS[1], "s", 0.13),
)


def per_class(run: Run) -> pd.DataFrame:
    """Both accuracies of each class that has clips, with counts and intervals: the most robust class first.

    Both cover the same clips: in a targeted run, clips whose label is the target are left out.
    """
    found = []
    for label in np.unique(run.array("label")[run.aimed]):
        chosen = run.aimed & (run.array("label") == label)
        row = {"class": int(label), "class_name": class_name(run, int(label))}
        row |= rate(run.array("clean_share")[chosen]).columns("clean_accuracy")
        found.append(row | rate(run.array("adv_share")[chosen]).columns("adv_accuracy"))
    frame = pd.DataFrame(found).sort_values(
        ["adv_accuracy", "clean_accuracy", "class"], ascending=[False, False, True], ignore_index=True
    )
    return frame.assign(run=run.identity)


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One line per class of one run, sorted by accuracy under attack, with 95 % Wilson intervals."""
    run = runs[0]
    frame = per_class(run)
    figure = new_figure(6.0, 1.5 + 0.17 * len(frame))
    axes = figure.subplots()
    place = np.arange(len(frame))
    axes.hlines(place, 100 * frame["adv_accuracy"], 100 * frame["clean_accuracy"], color="0.85", lw=3)
    for key, label, colour, marker, offset in SERIES:
        value, low, high = (100 * frame[name] for name in (key, f"{key}_low", f"{key}_high"))
        around = [(value - low).clip(lower=0), (high - value).clip(lower=0)]
        axes.errorbar(
            value, place + offset, xerr=around, color=colour, marker=marker, ls="", ms=3.5, lw=0.8, label=label
        )
    names = [shorten(name) for name in frame["class_name"]]
    clips = frame["clean_accuracy_clips"]
    axes.set_yticks(place, [f"{name} ({count})" for name, count in zip(names, clips, strict=True)], fontsize=6)
    axes.set_ylim(len(frame) - 0.4, -0.6)
    axes.set_xlim(-2, 102)
    axes.set_xlabel("accuracy, %")
    axes.set_ylabel("class (clips)")
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=7)
    add_title(figure, f"Accuracy by class: {attack_summary(run)}, {clips_attacked(run)} {data_summary(runs)}")
    yield frame, figure, ""


FIGURE: Drawing[Run] = Drawing(
    after=None,
    takes=lambda run: run.kind == "attack" and bool(run.aimed.any()),
    name=lambda run: f"per_class_{attack_file_name(run)}",
    apart=lambda run: run.identity,
    draw=draw,
)

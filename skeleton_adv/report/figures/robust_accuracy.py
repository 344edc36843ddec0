"""Robust accuracy: the victim's accuracy under attack by the attack's budget."""

from collections.abc import Iterator, Sequence

import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.draw import Drawing, Picture, attack_file_name, without
from skeleton_adv.report.stats import attack_rate, clean_accuracy, measure
from skeleton_adv.report.words import clip_count, data_summary, goal, unit_of, victim_name
from skeleton_adv.runs.load import Run


def accuracies(runs: Sequence[Run], key: str) -> pd.DataFrame:
    """Accuracy under attack with its 95 % Wilson interval, one row per value of the attack's setting ``key``."""
    rows = []
    for run in sorted(runs, key=lambda run: float(run.of_attack[key])):
        found, clean = attack_rate(run, "adv_share"), clean_accuracy(run)
        low, high = found.interval
        row = {key: run.of_attack[key], "accuracy": found.value, "low": low, "high": high, "clips": found.count}
        rows.append(row | {"clean_accuracy": clean.value, "l2": measure(run, "l2"), "run": run.identity})
    return pd.DataFrame(rows)


def draw_by(runs: Sequence[Run], key: str) -> Iterator[Picture]:
    """Accuracy under attack by the setting ``key``; the dashed line is the clean accuracy."""
    frame = accuracies(runs, key)
    figure = new_figure(4.6, 3.4)
    axes = figure.subplots()
    axes.axhline(100 * frame["clean_accuracy"][0], color="0.5", lw=0.8, ls="--", label="clean clips")
    errors = [100 * (frame["accuracy"] - frame["low"]).clip(lower=0), 100 * (frame["high"] - frame["accuracy"])]
    axes.errorbar(
        frame[key].astype(float),
        100 * frame["accuracy"],
        yerr=[errors[0], errors[1].clip(lower=0)],
        color=COLOURS[1],
        marker="o",
        ms=4,
        capsize=2,
        label="under attack, 95 % interval",
    )
    norm, unit = runs[0].of_attack.get("norm"), unit_of(runs).name
    axes.set_xlabel(
        f"{ {'l2': 'ℓ2', 'linf': 'ℓ∞'}[norm] } budget ε, {unit}" if norm in ("l2", "linf") and key == "eps" else key
    )
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=7)
    about = f"{runs[0].attack}, {goal(runs[0])}, against {victim_name(runs[0])}"
    add_title(figure, f"Robust accuracy: {about}, {clip_count(runs)} {data_summary(runs)}")
    yield frame, figure, ""


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """Accuracy by the budget, if there are several."""
    if len({run.of_attack["eps"] for run in runs}) > 1:
        yield from draw_by(runs, "eps")


FIGURE = Drawing(
    after=None,
    takes=lambda run: run.kind == "attack" and isinstance(run.of_attack.get("eps"), int | float),
    name=lambda run: f"robust_accuracy_{attack_file_name(run)}",
    apart=lambda run: without(run.settings) | {"attack": without(run.of_attack, "eps"), "choices": run.access},
    draw=draw,
)

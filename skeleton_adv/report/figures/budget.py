"""Accuracy of a defended victim by the l2 of attacks."""

from collections.abc import Iterator, Sequence

import pandas as pd

from skeleton_adv.report.canvas import add_title, new_figure
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.stats import Rate, attack_rate, clean_accuracy, measure
from skeleton_adv.report.words import clip_count, data_summary, unit_of, victim_name
from skeleton_adv.runs.load import Run

LINES = {
    "oblivious": ("#0072B2", "o", "--", "oblivious attack"),
    "adaptive": ("#D55E00", "s", "-", "adaptive attack"),
    "noise": ("#009E73", "^", ":", "Gaussian noise of the same ℓ2"),
}


def budgets(runs: Sequence[Run]) -> pd.DataFrame:
    """Accuracy with its interval and l2: of each run, of noise with the same l2, and of clean clips."""
    found = []
    for run in runs:
        noise = Rate(len(run.records) - float(run.array("control_share").sum()), len(run.records))
        for name, rate in ((run.access, attack_rate(run, "adv_share")), ("noise", noise)):
            low, high = rate.interval
            row = {"kind": name, "eps": run.of_attack["eps"], "l2": measure(run, "l2"), "accuracy": rate.value}
            found.append(row | {"low": low, "high": high, "clips": rate.count, "run": run.identity})
    clean, defense = clean_accuracy(runs[0]), runs[0].of_defense
    low, high = clean.interval
    found.append({"kind": "clean", "accuracy": clean.value, "low": low, "high": high, "clips": clean.count})
    frame = pd.DataFrame(found).sort_values(["kind", "l2"], ignore_index=True)
    settings = {name: defense.get(name) for name in ("sigma", "taps", "draws", "eot")}
    settings |= {"steps": runs[0].of_attack.get("steps"), "judgements": runs[0].settings.get("judgements")}
    return frame.assign(**settings)


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """Oblivious attacks, adaptive attacks and noise alone, each at its mean l2."""
    frame = budgets(runs)
    clean, settings = frame["accuracy"][frame["kind"] == "clean"].item(), frame.iloc[0]
    figure = new_figure(4.6, 3.4)
    axes = figure.subplots()
    axes.axhline(100 * clean, color="0.5", lw=0.8, label="clean clips")
    for kind, (colour, marker, dash, label) in LINES.items():
        part = frame[frame["kind"] == kind]
        below, above = part["accuracy"] - part["low"], part["high"] - part["accuracy"]
        axes.errorbar(
            part["l2"],
            100 * part["accuracy"],
            yerr=[100 * below.clip(lower=0), 100 * above.clip(lower=0)],
            color=colour,
            marker=marker,
            ls=dash,
            label=label,
            capsize=2,
            ms=4,
        )
    axes.set_xlabel(f"ℓ2 of the perturbation, {unit_of(runs).name}")
    axes.set_ylabel("accuracy of the defended victim, %")
    axes.set_ylim(0, 100)
    draws = f" (σ={settings['sigma']:g}, {settings['eot']} draws per step)" if settings["sigma"] else ""
    attack = f"{runs[0].attack} in an ℓ2 ball" + (f", {settings['steps']} steps" if settings["steps"] else "")
    add_title(figure, f"{victim_name(runs[0])}{draws}, {attack}, {clip_count(runs)} {data_summary(runs)}")
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=7)  # lines may be behind it
    yield frame, figure, ""


def takes(run: Run) -> bool:
    """Whether a run is an untargeted attack in an l2 ball against a defended victim."""
    ball = run.of_attack.get("norm") == "l2" and run.of_attack.get("eps") is not None
    seen = run.kind == "attack" and run.access in ("oblivious", "adaptive")
    return ball and seen and run.defense is not None and not run.targeted


FIGURE = Drawing(
    after="defense_budget",
    takes=takes,
    name=lambda run: f"figure_defense_{run.victim}",
    # All settings except the budget and whether the attack is adaptive; the length of a step is the same.
    apart=lambda run: without(run.settings, "adaptive") | {"attack": without(run.of_attack, "eps")},
    draw=draw,
)

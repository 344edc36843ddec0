"""Records -> figures of their numbers: transfer, budgets, the course of an attack, certificates."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import pandas as pd

from skeleton_adv.report.canvas import COLOURS, canvas, entitle
from skeleton_adv.report.pairs import course
from skeleton_adv.report.stats import Rate, Run, measures, rates
from skeleton_adv.report.tables.certified import FORMS, Certified, curve
from skeleton_adv.report.tables.transfer import TABLE2, pairs
from skeleton_adv.report.words import PAPER, PAPER_MODELS, deed, paper_split, setting, tally, unit, victim, where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

THEIRS = "Zheng et al.: NTU RGB+D, HCN, T=64, n=1000"  # the published radii
LINES = {
    "unaware": ("#0072B2", "o", "--", "attack unaware of the defense"),
    "adaptive": ("#D55E00", "s", "-", "adaptive attack"),
    "noise": ("#009E73", "^", ":", "Gaussian noise of the same ℓ2"),
}


def transfer_matrix(runs: Sequence[Run]) -> tuple[pd.DataFrame, "Figure"]:
    """Success if first right of clips made on each row's network and judged by each column's, at one beta."""
    rows = TABLE2.rows(runs)
    beta = float(rows["beta"][0])
    frame = pairs(rows, beta)
    shown = "success_if_right"
    grid = frame.pivot(index="source", columns="target", values=shown)
    figure = canvas(1.6 + 1.1 * grid.shape[1], 1.4 + 0.6 * grid.shape[0])
    axes = figure.subplots()
    axes.imshow(100 * grid, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for _, row in frame.iterrows():
        at, value = (list(grid.columns).index(row["target"]), list(grid.index).index(row["source"])), row[shown]
        text = f"{100 * value:.1f}\n{tally(row[f'{shown}_hits'])}/{row[f'{shown}_clips']:g}"
        axes.text(*at, text, ha="center", va="center", color="w" if value < 0.6 else "k", fontsize=8)
    axes.set_xticks(range(grid.shape[1]), grid.columns)
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set_xlabel("judged by")
    axes.set_ylabel("made on")
    entitle(figure, f"Success if first right, %, β={beta:g}, of {_clips(runs)} {where(runs)}")
    columns = [f"{shown}{end}" for end in ("", "_hits", "_clips", "_low", "_high")]
    return frame[["source", "target", "beta", *columns, "run"]].reset_index(drop=True), figure


def belongs_to_matrix(run: Run) -> bool:
    """Whether a run is an untargeted transfer."""
    return TABLE2.belongs(run) and setting(run) == "untargeted"


def accuracy_by_budget(runs: Sequence[Run]) -> tuple[pd.DataFrame, "Figure"]:
    """Accuracy of a defended victim against the l2 that attacks spend: unaware, adaptive, and noise alone.

    One point a run of PGD in an l2 ball, untargeted; attacks stand at the l2 that they spent.
    """
    frame = _budgets(runs)
    clean, told = frame["accuracy"][frame["kind"] == "clean"].item(), frame.iloc[0]
    figure = canvas(4.6, 3.4)
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
    axes.set_xlabel(f"ℓ2 of the perturbation, {unit(runs)}")
    axes.set_ylabel("accuracy of the defended victim, %")
    axes.set_ylim(0, 100)
    looks = f" (σ={told['sigma']:g}, {told['eot']} looks a step)" if told["sigma"] else ""
    budget = f"PGD in an ℓ2 ball, {told['steps']} steps" if told["steps"] else "PGD in an ℓ2 ball"
    entitle(figure, f"{victim(runs[0])}{looks}, {budget}, {_clips(runs)} {where(runs)}")
    axes.legend(framealpha=0.9, edgecolor="none", fontsize=7)  # lines may pass behind it
    return frame, figure


def _budgets(runs: Sequence[Run]) -> pd.DataFrame:
    """Accuracy with its interval and l2, of each run, of noise like it and of clean clips, with the settings."""
    found = []
    for run in runs:
        kind = "adaptive" if run.about["settings"]["adaptive"] else "unaware"
        noise = Rate(len(run.records) - float(run.records["control_share"].sum()), len(run.records))
        for name, rate in ((kind, rates(run)["adv_accuracy"]), ("noise", noise)):
            low, high = rate.interval
            row = {"kind": name, "eps": run.attack["eps"], "l2": measures(run)["l2"], "accuracy": rate.value}
            found.append(row | {"low": low, "high": high, "clips": rate.count, "run": run.about["identity"]})
    clean, defense = rates(runs[0])["clean_accuracy"], runs[0].about["settings"]["defense"]
    low, high = clean.interval
    found.append({"kind": "clean", "accuracy": clean.value, "low": low, "high": high, "clips": clean.count})
    frame = pd.DataFrame(found).sort_values(["kind", "l2"], ignore_index=True)
    told = {name: defense.get(name) for name in ("sigma", "taps", "draws", "eot")}
    told |= {"steps": runs[0].attack.get("steps"), "judgements": runs[0].about["settings"].get("judgements")}
    return frame.assign(**told)


def belongs_to_budget(run: Run) -> bool:
    """Whether a run is an untargeted PGD in an l2 ball against a defended victim, not one of another network."""
    choices = run.about["choices"]
    attack = choices["attack"] in ("pgd", "bim") and run.attack.get("norm") == "l2"
    defended = choices["defense"] != "none" and not choices.get("model@surrogate")
    return attack and defended and setting(run) == "untargeted"


def certified_accuracy(runs: Sequence[Certified]) -> tuple[pd.DataFrame, "Figure"]:
    """Figure 5: certified accuracy by radius, a line a run, beside the authors' published radii.

    A step's height holds up to its right end, so no line claims more than was certified. Their victims
    were trained with the noise that certifies them; the title says what ours were trained with.
    """
    runs = sorted(runs, key=lambda run: (run.sigma, run.about["identity"]))
    paper = pd.read_csv(PAPER / "figure5.csv")
    hcn = PAPER_MODELS.get(runs[0].about["choices"]["model"]) == "hcn"  # they certified no other network
    paper = paper[(paper["split"] == paper_split(runs)) & hcn]  # none of joints in an image
    last = max([1.2 if len(paper) else 0.1, *(float(run.records["radius"].max()) for run in runs)])
    radii = [round(0.01 * step, 2) for step in range(math.ceil(100 * last) + 1)]
    figure = canvas(5.2, 3.9)
    axes = figure.subplots()
    often, frames = Counter(run.sigma for run in runs), []
    for run, colour in zip(runs, cycle(COLOURS), strict=False):
        name = f"σ={run.sigma:g}" + (f" ({run.about['identity']})" if often[run.sigma] > 1 else "")
        for form, dash, words in zip(FORMS, ("-", "--"), ("Cohen et al.", "the paper's form, no proof"), strict=True):
            part = curve(run, radii, form)
            frames.append(part)
            values = 100 * part[["accuracy", "low", "high"]]
            axes.step(radii, values["accuracy"], where="pre", color=colour, ls=dash, lw=1.2, label=f"{name}, {words}")
            if form == "standard":
                axes.fill_between(radii, values["low"], values["high"], step="pre", color=colour, alpha=0.15, lw=0)
        theirs, paper = paper[paper["sigma"] == run.sigma], paper[paper["sigma"] != run.sigma]  # one line a sigma
        if len(theirs):
            label = f"σ={run.sigma:g}, {THEIRS}"
            axes.plot(theirs["radius"], 100 * theirs["accuracy"], color=colour, ls=":", lw=1.2, label=label)
            frames.append(theirs[["radius", "accuracy", "sigma"]].assign(form=THEIRS))
    axes.set_xlabel(
        f"certified radius, ℓ2, {unit(runs)}: of the smoothed victim,\nafter resampling, for changes of existing joints"
    )
    axes.set_ylabel("certified accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=6)
    smoothing = runs[0].about["settings"]["smoothing"]
    noise = {"trained with the same σ" if run.trained_noise == run.sigma else _trained(run) for run in runs}
    what = f"{victim(runs[0])}, {' or '.join(sorted(noise))},"
    entitle(figure, f"{what} {where(runs)}, n={smoothing['n']}, α={smoothing['alpha']:g}, {_clips(runs)}")
    return pd.concat(frames, ignore_index=True), figure


def _trained(run: Certified) -> str:
    """With which noise a victim was trained, in words."""
    noise = run.trained_noise
    return "trained with unknown noise" if noise is None else f"trained with σ={noise:g}" if noise else "without noise"


def _clips(runs: Sequence[Run] | Sequence[Certified]) -> str:
    """How many clips each of these runs is of."""
    return f"{' or '.join(str(count) for count in sorted({len(run.records) for run in runs}))} clips"


def convergence(runs: Sequence[Run]) -> tuple[pd.DataFrame, "Figure"]:
    """Figure 3: the main loss and the three constraints' terms over the steps of one run, means over clips."""
    run = runs[0]
    frame = course(run)
    figure = canvas(4.6, 3.8)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(frame["step"], frame["loss"], color="k", lw=1.2, label="main loss")
    for name, colour, dash in zip(("bone", "angle", "speed"), COLOURS, ("-", "--", "-."), strict=False):
        below.plot(frame["step"], frame[name], color=colour, ls=dash, lw=1.2, label=f"{name} term")
    for axes in (above, below):
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # a line's height for the legend
        axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper center")
        axes.set_ylabel("mean over clips")
    below.set_xlabel("step of Adam")
    entitle(figure, f"{deed(run)}, {frame['clips'][0]} clips {where([run])}")
    return frame, figure

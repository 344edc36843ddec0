"""Records -> figures of their numbers: transfer, budgets, the course of an attack, certificates."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from skeleton_adv.cells import PAPER, deed, paper_split, setting, unit, victim, where
from skeleton_adv.certified import Certified, curve
from skeleton_adv.drawing import COLOURS, canvas, entitle
from skeleton_adv.kept import course
from skeleton_adv.summary import Rate, Run, measures, rates
from skeleton_adv.transfer import TABLE2, matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINES = {
    "unaware": ("#0072B2", "o", "--", "attack unaware of the defense"),
    "adaptive": ("#D55E00", "s", "-", "adaptive attack"),
    "noise": ("#009E73", "^", ":", "Gaussian noise of the same ℓ2"),
}


def transfer_matrix(runs: Sequence[Run]) -> tuple[pd.DataFrame, "Figure"]:
    """Success if first right of clips made on each row's network and judged by each column's, the least beta."""
    rows = TABLE2.rows(runs)
    beta = float(rows["beta"].min())
    grid = matrix(rows, beta)
    figure = canvas(1.6 + 1.1 * grid.shape[1], 1.4 + 0.6 * grid.shape[0])
    axes = figure.subplots()
    axes.imshow(100 * grid, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for place, row in enumerate(grid.to_numpy()):
        for column, value in enumerate(row):
            if pd.notna(value):
                axes.text(column, place, f"{100 * value:.1f}", ha="center", color="w" if value < 0.6 else "k")
    axes.set_xticks(range(grid.shape[1]), grid.columns)
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set_xlabel("judged by")
    axes.set_ylabel("made on")
    entitle(figure, f"Success if first right, %, β={beta:g}, {where(runs)}")
    return grid.reset_index(), figure


def accuracy_by_budget(runs: Sequence[Run]) -> tuple[pd.DataFrame, "Figure"]:
    """Accuracy of a defended victim against the l2 that attacks spend: unaware, adaptive, and noise alone.

    One point a run of PGD in an l2 ball, untargeted; attacks stand at the l2 that they spent.
    """
    found = []
    for run in runs:
        kind = "adaptive" if run.about["settings"]["adaptive"] else "unaware"
        noise = Rate(len(run.records) - float(run.records["control_share"].sum()), len(run.records))
        for name, rate in ((kind, rates(run)["adv_accuracy"]), ("noise", noise)):
            low, high = rate.interval
            row = {"kind": name, "eps": run.attack["eps"], "l2": measures(run)["l2"], "accuracy": rate.value}
            found.append(row | {"low": low, "high": high, "clips": rate.count, "run": run.about["identity"]})
        clean = rates(run)["clean_accuracy"]
    frame = pd.DataFrame(found).sort_values(["kind", "l2"], ignore_index=True)
    figure = canvas(4.6, 3.4)
    axes = figure.subplots()
    axes.axhline(100 * clean.value, color="0.5", lw=0.8)
    axes.text(frame["l2"].max(), 100 * clean.value, "clean", ha="right", va="bottom", color="0.4", fontsize=7)
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
    entitle(figure, f"{victim(runs[0])}, PGD in an ℓ2 ball, {where(runs)}")
    axes.legend(frameon=False, fontsize=7)
    return frame, figure


def belongs_to_budget(run: Run) -> bool:
    """Whether a run is an untargeted PGD in an l2 ball against a defended victim."""
    choices = run.about["choices"]
    attack = choices["attack"] in ("pgd", "bim") and run.attack.get("norm") == "l2"
    return attack and choices["defense"] != "none" and setting(run) == "untargeted"


def certified_accuracy(runs: Sequence[Certified]) -> tuple[pd.DataFrame, "Figure"]:
    """Figure 5: certified accuracy by radius, a line a sigma, beside the authors' published radii."""
    radii = [round(0.01 * step, 2) for step in range(121)]
    frame = pd.concat([curve(run, radii, form) for run in runs for form in ("standard", "paper")], ignore_index=True)
    paper = pd.read_csv(PAPER / "figure5.csv")
    paper = paper[paper["split"] == paper_split(runs)]  # none of joints in an image
    figure = canvas(5.2, 3.6)
    axes = figure.subplots()
    for place, sigma in enumerate(sorted(frame["sigma"].unique())):
        colour = COLOURS[place % len(COLOURS)]
        for form, dash in (("standard", "-"), ("paper", "--")):
            part = frame[(frame["sigma"] == sigma) & (frame["form"] == form)]
            label = f"σ={sigma:g}, {'Cohen et al.' if form == 'standard' else 'form of the paper'}"
            axes.step(part["radius"], 100 * part["accuracy"], where="post", color=colour, ls=dash, lw=1.2, label=label)
            if form == "standard":
                axes.fill_between(part["radius"], 100 * part["low"], 100 * part["high"], color=colour, alpha=0.15, lw=0)
        theirs = paper[paper["sigma"] == sigma]
        if len(theirs):
            label = f"σ={sigma:g}, Zheng et al., NTU RGB+D"
            axes.plot(theirs["radius"], 100 * theirs["accuracy"], color=colour, ls=":", lw=1.2, label=label)
    axes.set_xlabel(f"certified radius, ℓ2, {unit(runs)}")
    axes.set_ylabel("certified accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=6)
    draws = f"n={runs[0].about['settings']['smoothing']['n']}, {len(runs[0].records)} clips"
    entitle(figure, f"{victim(runs[0])} {where(runs)}, {draws}")
    return frame, figure


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

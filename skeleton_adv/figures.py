"""Records -> figures as PNG, PDF and CSV: ``python -m skeleton_adv.figures``. No torch here."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import pandas as pd

from skeleton_adv.cells import PAPER, PAPER_SETS, setting, where
from skeleton_adv.certified import Certified, curve, find_certified
from skeleton_adv.errors import RunError, UserError
from skeleton_adv.summary import Rate, Run, load_runs, measures, rates
from skeleton_adv.transfer import TABLE2, matrix

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by the colour-blind; lines differ in marker and dash too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9")
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
    figure = _figure(1.6 + 1.1 * grid.shape[1], 1.4 + 0.6 * grid.shape[0])
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
    _entitle(figure, f"Success if first right, %, β={beta:g}, {where(runs)}")
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
    figure = _figure(4.6, 3.4)
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
    axes.set_xlabel("ℓ2 of the perturbation, m")
    axes.set_ylabel("accuracy of the defended victim, %")
    axes.set_ylim(0, 100)
    _entitle(figure, f"A defended victim {where(runs)}")
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
    paper = paper[paper["split"] == PAPER_SETS.get(runs[0].about["dataset"], "CS")]
    figure = _figure(5.2, 3.6)
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
    axes.set_xlabel("certified radius, ℓ2 in the clips' unit")
    axes.set_ylabel("certified accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=6)
    about = runs[0].about
    stand_in = ", a stand-in for the paper's data" if about["stand_in"] else ""
    _entitle(
        figure, f"{about['choices']['model']} on {about['dataset']}{stand_in}, n={about['settings']['smoothing']['n']}"
    )
    return frame, figure


KINDS = {"transfer": (TABLE2.belongs, transfer_matrix), "defense": (belongs_to_budget, accuracy_by_budget)}


def write_certified(runs: Sequence[Certified], out: Path) -> list[Path]:
    """Write Figure 5 for each dataset, victim and defense among these runs; return the files."""
    groups: dict[tuple[str, str, str], list[Certified]] = {}
    for run in runs:
        choices = run.about["choices"]
        groups.setdefault((run.about["dataset"], choices["model"], choices["defense"]), []).append(run)
    paths = []
    for (dataset, model, defense), own in sorted(groups.items()):
        name = f"figure5_{model}" + ("" if defense == "none" else f"_{defense}")
        paths += _save(*certified_accuracy(own), out / dataset, name)
    return paths


def write_all(runs: Sequence[Run], out: Path) -> list[Path]:
    """Write every figure that these runs allow, in a folder for each dataset; return the files."""
    paths = []
    for dataset in sorted({run.about["dataset"] for run in runs}):
        for name, (belongs, draw) in KINDS.items():
            groups: dict[str, list[Run]] = {}
            for run in runs:
                if run.about["dataset"] == dataset and belongs(run):
                    victim = "" if name == "transfer" else f"_{run.about['choices']['model']}"
                    groups.setdefault(victim, []).append(run)
            for suffix, own in groups.items():
                frame, figure = draw(own)
                paths += _save(frame, figure, out / dataset, f"figure_{name}{suffix}")
    return paths


def _figure(width: float, height: float) -> "Figure":
    """A figure of its own, without any window system; inches."""
    from matplotlib.figure import Figure

    return Figure((width, height), layout="constrained")


def _entitle(figure: "Figure", text: str) -> None:
    figure.suptitle("\n".join(wrap(text, int(17 * figure.get_figwidth()))), fontsize=7)


def _save(frame: pd.DataFrame, figure: "Figure", folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.{kind}" for kind in ("png", "pdf", "csv")]
    parts = [path.with_name(f".{path.name}.part") for path in paths]
    figure.savefig(parts[0], format="png", dpi=200)
    figure.savefig(parts[1], format="pdf", metadata={"CreationDate": None})
    parts[2].write_text(frame.to_csv(index=False, float_format="%.6g"))
    for part, path in zip(parts, paths, strict=True):
        part.replace(path)
    return paths


def main() -> None:
    """Draw the figures of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.figures", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder of the runs")
    parser.add_argument("--out", default="outputs/figures", type=Path, help="folder of the figures")
    parser.add_argument("--skip-unfinished", action="store_true", help="leave out runs that have not ended")
    arguments = parser.parse_args()
    try:
        runs, certified = load_runs(arguments.runs, arguments.skip_unfinished), find_certified(arguments.runs)
        if not runs and not certified:
            raise RunError(f"{arguments.runs} holds no finished run: make one with python -m skeleton_adv")
        paths = write_all(runs, arguments.out) + write_certified(certified, arguments.out)
        if not paths:
            raise RunError(
                f"{arguments.runs} holds no certificates, no transfer, and no PGD in an l2 ball against a defense"
            )
        for path in paths:
            print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

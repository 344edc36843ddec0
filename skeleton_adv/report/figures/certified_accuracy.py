"""Figure 5: certified accuracy by radius."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.certificates import FORMS, accuracy_by_radius
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.published import paper_name, read
from skeleton_adv.report.words import clip_count, data_summary, unit_of, victim_name
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THEIRS = "Zheng et al.: NTU RGB+D, HCN, T=64, n=1000"  # the published radii are of this network only


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One line per run, beside the authors' published radii.

    A step's height is valid up to its right end, so no line claims more than was certified. Their victims
    were trained with the noise that certifies them; the title states how ours were trained.
    """
    runs = sorted(runs, key=lambda run: (run.smoothing["sigma"], run.identity))
    paper = published_radii(runs[0])
    radii = _radii(max([1.2 if len(paper) else 0.001, *(float(run.array("radius").max()) for run in runs)]))
    figure = new_figure(5.2, 3.9)
    axes = figure.subplots()
    often, frames = Counter(run.smoothing["sigma"] for run in runs), []
    for run, colour in zip(runs, cycle(COLOURS), strict=False):
        sigma = run.smoothing["sigma"]
        frames += _draw_run(
            axes, run, radii, colour, f"σ={sigma:g}" + (f" ({run.identity})" if often[sigma] > 1 else "")
        )
        theirs, paper = paper[paper["sigma"] == sigma], paper[paper["sigma"] != sigma]  # one line per sigma
        if len(theirs):
            label = f"σ={sigma:g}, {THEIRS}"
            axes.plot(theirs["radius"], 100 * theirs["accuracy"], color=colour, ls=":", lw=1.2, label=label)
            frames.append(theirs[["radius", "accuracy", "sigma"]].assign(form=THEIRS))
    axes.set_xlabel(
        f"certified radius, ℓ2, {unit_of(runs).name}: for the smoothed victim,\n"
        "after resampling, for changes of existing joints",
        fontsize=8,
    )
    axes.set_ylabel("certified accuracy, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=6)
    smoothing, noise = runs[0].smoothing, " or ".join(sorted({_training_noise(run) for run in runs}))
    what = f"{victim_name(runs[0])}, {noise}, {data_summary(runs)}, n={smoothing['n']}, α={smoothing['alpha']:g}"
    add_title(figure, f"{what}, {clip_count(runs)}")
    yield pd.concat(frames, ignore_index=True), figure, ""


def _radii(last: float) -> list[float]:
    """The radii of a curve up to ``last``: hundredths of the unit, or sixtieths of a small ``last``."""
    if last < 0.3:
        return [last * step / 60 for step in range(62)]
    return [round(0.01 * step, 2) for step in range(math.ceil(100 * last) + 1)]


def _draw_run(axes: "Axes", run: Run, radii: Sequence[float], colour: str, name: str) -> list[pd.DataFrame]:
    """Draw a run's certified accuracy in both forms; return the numbers."""
    frames = []
    for form, dash, words in zip(FORMS, ("-", "--"), ("Cohen et al.", "the paper's form, no proof"), strict=True):
        part = accuracy_by_radius(run, radii, form)
        frames.append(part)
        values = 100 * part[["accuracy", "low", "high"]]
        axes.step(radii, values["accuracy"], where="pre", color=colour, ls=dash, lw=1.2, label=f"{name}, {words}")
        if form == "standard":
            axes.fill_between(radii, values["low"], values["high"], step="pre", color=colour, alpha=0.15, lw=0)
    return frames


def published_radii(run: Run) -> pd.DataFrame:
    """The published radii beside a run; none for other networks or data."""
    paper = read("figure5")
    there = paper_name("model", run.victim) == "hcn"
    return paper[(paper["split"] == paper_name("data", run.stands_for)) & there]


def _training_noise(run: Run) -> str:
    """The noise with which a victim was trained, as text."""
    noise = run.trained_noise
    if noise == run.smoothing["sigma"]:
        return "trained with the same σ"
    return "trained with unknown noise" if noise is None else f"trained with σ={noise:g}" if noise else "without noise"


def apart(run: Run) -> Any:
    """All settings except the noise and the weights, and the seed and the noise of the training."""
    trained = "certified" if run.trained_noise == run.smoothing["sigma"] else run.trained_noise
    more = {"smoothing": without(run.smoothing, "sigma"), "training": dict(run.seeds), "trained_noise": trained}
    return without(run.settings, "checkpoint") | more


FIGURE = Drawing(
    after="figure5",
    takes=lambda run: run.kind == "certificate" and run.noise_space == "joints" and not run.decided,  # all radii
    name=lambda run: "_".join(filter(None, ("figure5", run.victim, run.defense, f"n{run.smoothing['n']}"))),
    apart=apart,
    draw=draw,
)

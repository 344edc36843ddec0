"""Shares of clips that are certified, attacked or neither, by the tolerance of the limits."""

from collections.abc import Iterator, Sequence

from skeleton_adv.report.canvas import add_title, new_figure
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.gap import VERDICTS, by_tolerance, family, unit
from skeleton_adv.report.words import clip_count, data_summary, victim_name
from skeleton_adv.runs.load import Run

LOOKS = {
    "certified": ("#0072B2", "", "certified"),
    "unknown": ("#DDDDDD", "", "unknown"),
    "abstains": ("#AAAAAA", "///", "abstains"),
    "both": ("#000000", "", "attacked and certified"),
    "attacked": ("#D55E00", "", "attacked"),
    "wrong": ("#F0B08A", "\\\\\\", "wrong before"),
}


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One bar per tolerance; what is between the certified and the attacked clips is the gap."""
    frame = by_tolerance(runs)
    tolerances = sorted({*frame["tolerance"]})
    figure = new_figure(4.8, 3.4)
    axes = figure.subplots()
    bottom = [0.0] * len(tolerances)
    for verdict in VERDICTS:
        own = frame[frame["verdict"] == verdict].groupby("tolerance")["share"].mean()
        heights = [100 * float(own[value]) for value in tolerances]
        if verdict == "both" and not any(heights):
            continue
        colour, hatch, label = LOOKS[verdict]
        axes.bar(range(len(tolerances)), heights, bottom=bottom, color=colour, hatch=hatch, label=label, width=0.8)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    axes.set_xticks(range(len(tolerances)), [f"{value:g}" for value in tolerances])
    axes.set_xlabel(unit(runs[0]))
    axes.set_ylabel("clips, %")
    axes.set_ylim(0, 100)
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))
    how = runs[0].smoothing
    noise = f"noise of {how['sigma']:g} on {how.get('space', 'joints')}"
    add_title(figure, f"{victim_name(runs[0])}, {noise}, {runs[0].attack}, {clip_count(runs)} {data_summary(runs)}")
    yield frame, figure, ""


FIGURE = Drawing(
    after="gap",
    takes=lambda run: run.kind == "gap",
    name=lambda run: f"gap_{run.victim}_{family(run)}_{run.smoothing.get('space', 'joints')}",
    apart=lambda run: without(run.settings, "tolerance"),
    draw=draw,
)

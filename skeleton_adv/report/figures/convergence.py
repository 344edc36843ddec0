"""Figure 3: the terms of an attack's objective over its steps."""

from collections.abc import Iterator, Sequence
from itertools import cycle

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.clips_to_draw import has_trace, mean_trace
from skeleton_adv.report.draw import Drawing, Picture, attack_file_name
from skeleton_adv.report.words import attack_summary, data_summary
from skeleton_adv.runs.load import Run

OTHERS = ("step", "loss", "clips", "run")  # columns that are not the term of a constraint


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """The main loss and each constraint's term over the steps of one run, as means over clips."""
    run = runs[0]
    frame = mean_trace(run)
    figure = new_figure(4.6, 3.8)
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(frame["step"], frame["loss"], color="k", lw=1.2, label="main loss")
    terms = sorted((name for name in frame if name not in OTHERS), key=[*run.constraints, *frame].index)
    for name, colour, dash in zip(terms, cycle(COLOURS), cycle(("-", "--", "-.")), strict=False):
        below.plot(frame["step"], frame[name], color=colour, ls=dash, lw=1.2, label=f"{name} term")
    for axes in (above, below):
        axes.set_ylim(0, 1.2 * axes.get_ylim()[1])  # room for the legend
        axes.legend(frameon=False, fontsize=7, ncols=3, loc="upper center") if axes.lines else None
        axes.set_ylabel("mean over clips")
    below.set_xlabel("step")
    add_title(figure, f"{attack_summary(run)}, {frame['clips'][0]} clips {data_summary([run])}")
    yield frame, figure, ""


FIGURE = Drawing(
    after="figure3",
    takes=lambda run: run.kind == "attack" and has_trace(run),
    name=lambda run: f"figure3_{attack_file_name(run)}",
    apart=lambda run: run.identity,
    draw=draw,
)

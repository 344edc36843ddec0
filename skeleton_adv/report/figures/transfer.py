"""Table 2 as a matrix: success on each network of clips made on each other network."""

from collections.abc import Iterator, Sequence

import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.canvas import add_title, new_figure
from skeleton_adv.report.columns import format_count
from skeleton_adv.report.draw import Drawing, Picture, without
from skeleton_adv.report.stats import attack_rate
from skeleton_adv.report.tables.table2 import is_transfer
from skeleton_adv.report.words import clip_count, data_summary, network_names
from skeleton_adv.runs.load import Run

SHOWN = "success_if_right"


def success_rates(runs: Sequence[Run]) -> pd.DataFrame:
    """One row per pair of networks; raises ``RunError`` if two runs have the same pair."""
    names = network_names(runs, noise=True)
    found = []
    for run in runs:
        pair = {"source": names["surrogate"](run), "target": names["model"](run), "beta": run.of_attack["beta"]}
        rate = attack_rate(run, "success_share", right_only=True)
        found.append(pair | rate.columns(SHOWN) | {"run": run.identity})
    frame = pd.DataFrame(found).sort_values(["source", "target"], ignore_index=True, kind="stable")
    twice = frame[frame.duplicated(["source", "target"], keep=False)]
    if len(twice):
        raise RunError(f"runs {' and '.join(twice['run'])} have the same two networks: draw them separately")
    return frame


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """Success if correct before, at one beta: clips are made on the row's network and judged by the column's."""
    frame = success_rates(runs)
    grid = frame.pivot(index="source", columns="target", values=SHOWN)
    figure = new_figure(1.6 + 1.1 * grid.shape[1], 1.4 + 0.6 * grid.shape[0])
    axes = figure.subplots()
    axes.imshow(100 * grid, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for _, row in frame.iterrows():
        at, value = (list(grid.columns).index(row["target"]), list(grid.index).index(row["source"])), row[SHOWN]
        text = f"{100 * value:.1f}\n{format_count(row[f'{SHOWN}_hits'])}/{row[f'{SHOWN}_clips']:g}"
        axes.text(*at, text, ha="center", va="center", color="w" if value < 0.6 else "k", fontsize=8)
    axes.set_xticks(range(grid.shape[1]), grid.columns)
    axes.set_yticks(range(grid.shape[0]), grid.index)
    axes.set_xlabel("judged by")
    axes.set_ylabel("made on")
    add_title(figure, f"Success if correct before, %, β={frame['beta'][0]:g}, {clip_count(runs)} {data_summary(runs)}")
    yield frame, figure, ""


FIGURE = Drawing(
    after="table2",
    takes=lambda run: is_transfer(run) and not run.targeted,
    name=lambda run: f"figure_transfer_beta{run.of_attack['beta']:g}",
    apart=lambda run: without(run.settings, "model", "checkpoint", "surrogate", "surrogate_checkpoint"),
    draw=draw,
)

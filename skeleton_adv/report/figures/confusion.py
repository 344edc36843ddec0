"""The confusion matrix of a victim under attack."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from skeleton_adv.report.canvas import add_title, new_figure, shorten
from skeleton_adv.report.draw import Drawing, Picture, attack_file_name
from skeleton_adv.report.stats import Rate
from skeleton_adv.report.words import attack_summary, class_name, clips_attacked, data_summary
from skeleton_adv.runs.load import Run

NONE = -1  # the prediction of a clip that diverged, or whose logits are not finite
MOST = 100  # classes whose cells have room for a count


def confusion(run: Run) -> pd.DataFrame:
    """One row per true class and class predicted under attack: the clips, and their share of the true class.

    Pairs without clips are left out, and in a targeted run also clips whose label is the target. The prediction of a
    victim that draws noise is its most frequent one.
    """
    pairs = pd.DataFrame({"class": run.array("label")[run.aimed], "predicted": run.array("adv_pred")[run.aimed]})
    totals = pairs["class"].value_counts()
    found = []
    counts = pairs.groupby(["class", "predicted"]).size().reset_index(name="count")
    for label, predicted, count in counts.to_numpy().tolist():
        row = {"class": label, "class_name": class_name(run, label)}
        row |= {"predicted": predicted, "predicted_name": class_name(run, predicted)}
        found.append(row | Rate(count, int(totals[label])).columns("share"))
    return pd.DataFrame(found).assign(run=run.identity)


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """True classes down, predictions under attack across; colours are shares of the true class, numbers are clips."""
    run = runs[0]
    frame = confusion(run)
    down = sorted({*frame["class"]})
    across = sorted({*down, *frame["predicted"]}, key=lambda one: (one == NONE, one))
    size = float(np.clip(4.5 / len(across), 0.17 if len(across) <= MOST else 0.06, 0.5))  # of a cell, in inches
    figure = new_figure(2.6 + size * len(across), 1.9 + size * len(down))
    axes = figure.subplots()
    shares = frame.pivot(index="class", columns="predicted", values="share").reindex(down, columns=across).fillna(0.0)
    image = axes.imshow(100 * shares, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    for _, row in frame.iterrows() if len(across) <= MOST else ():
        place, colour = (across.index(row["predicted"]), down.index(row["class"])), "w" if row["share"] > 0.5 else "k"
        axes.text(*place, row["share_hits"], ha="center", va="center", color=colour, fontsize=24 * size)
    font = float(np.clip(32 * size, 2.5, 7))
    axes.set_xticks(range(len(across)), [shorten(class_name(run, one)) for one in across], rotation=90, fontsize=font)
    axes.set_yticks(range(len(down)), [shorten(class_name(run, one)) for one in down], fontsize=font)
    axes.set_xlabel("predicted under attack")
    axes.set_ylabel("true class")
    bar = figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    bar.set_label("% of the true class", fontsize=7)
    bar.ax.tick_params(labelsize=6)
    add_title(figure, f"Predictions under attack: {attack_summary(run)}, {clips_attacked(run)} {data_summary(runs)}")
    yield frame, figure, ""


FIGURE: Drawing[Run] = Drawing(
    after=None,
    takes=lambda run: run.kind == "attack" and bool(run.aimed.any()),
    name=lambda run: f"confusion_{attack_file_name(run)}",
    apart=lambda run: run.identity,
    draw=draw,
)

"""The curves of a training: loss and held-out accuracy by epoch."""

from collections.abc import Iterator, Sequence

import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.draw import Drawing, Picture
from skeleton_adv.report.stats import Rate
from skeleton_adv.report.trainings import TrainedWeights

PHASES = {  # as the history calls them: label, colour, dash
    "select": ("without the held-out clips", COLOURS[0], "--"),
    "refit": ("on all training clips", COLOURS[1], "-"),
}


def by_epoch(training: TrainedWeights) -> pd.DataFrame:
    """Loss, learning rate, and held-out accuracy with its count and interval, after each epoch of each phase."""
    found = []
    for row in training.history.to_dict("records"):
        clips, accuracy = row["held_out_clips"], row["held_out_accuracy"]
        rate = Rate(round(clips * accuracy), int(clips)) if clips > 0 else Rate(0, 0)
        found.append({name: row[name] for name in ("phase", "epoch", "loss", "lr")} | rate.columns("held_out_accuracy"))
    return pd.DataFrame(found).assign(weights=training.name, identity=training.identity)


def draw(trainings: Sequence[TrainedWeights]) -> Iterator[Picture]:
    """The loss above and, if clips were held out, the accuracy on them below, with 95 % Wilson intervals."""
    training = trainings[0]
    frame = by_epoch(training)
    held_out = frame[frame["held_out_accuracy_clips"] > 0]
    figure = new_figure(5.0, 4.2 if len(held_out) else 2.6)
    panels = figure.subplots(2 if len(held_out) else 1, 1, sharex=True, squeeze=False)[:, 0]
    for phase, (label, colour, dash) in PHASES.items():
        part = frame[frame["phase"] == phase]
        if len(part):
            panels[0].plot(part["epoch"], part["loss"], color=colour, ls=dash, lw=1.2, label=label)
    panels[0].set_ylabel("mean loss")
    panels[0].legend(frameon=False, fontsize=7)
    if len(held_out):
        value, low, high = (100 * held_out[f"held_out_accuracy{end}"] for end in ("", "_low", "_high"))
        panels[1].plot(held_out["epoch"], value, color=COLOURS[0], ls="--", lw=1.2)
        panels[1].fill_between(held_out["epoch"], low, high, color=COLOURS[0], alpha=0.15, lw=0)
        panels[1].axvline(float(training.facts["epochs"]), color="0.5", lw=0.8, label="chosen number of epochs")
        panels[1].set_ylim(0, 100)
        panels[1].set_ylabel("held-out accuracy, %")
        panels[1].legend(frameon=False, fontsize=7, loc="lower right")
    panels[-1].set_xlabel("epoch")
    panels[-1].xaxis.get_major_locator().set_params(integer=True)
    add_title(figure, _title(training))
    yield frame, figure, ""


def _title(training: TrainedWeights) -> str:
    """Which weights were trained on which data, for how long, and how accurate they are."""
    facts = training.facts
    stand_in = ", a stand-in" if facts.get("stand_in") else ""
    count = int(facts["test_clips"])
    accuracy = format_rate(Rate(round(facts["test_accuracy"] * count), count)).replace("]", "] %")
    where = f"{training.name} on {training.dataset}{stand_in}"
    return f"Training of {where}: {facts['epochs']} epochs, test accuracy {accuracy}"


FIGURE: Drawing[TrainedWeights] = Drawing(
    after=None,
    takes=lambda training: True,
    name=lambda training: f"training_{training.name}",
    apart=lambda training: training.identity,
    draw=draw,
    source="checkpoint",
)

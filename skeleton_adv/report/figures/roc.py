"""ROC curves of detectors: detected adversarial clips by false alarms."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from skeleton_adv.report.canvas import COLOURS, add_title, new_figure
from skeleton_adv.report.detection import area, detector_name, fitted_on, scores
from skeleton_adv.report.draw import Drawing, Picture
from skeleton_adv.report.words import attack_name, data_summary, goal, victim_name
from skeleton_adv.runs.load import Run

DASHES = ("-", "--", ":", "-.")


def curve(natural: np.ndarray, adversarial: np.ndarray) -> pd.DataFrame:
    """The ROC curve of scores: the shares of natural and adversarial clips at or above each threshold."""
    thresholds = np.unique(np.concatenate([natural, adversarial]))[::-1]
    shares = {"false_alarms": natural, "detected": adversarial}
    frame = pd.DataFrame(
        {name: [float((values >= one).mean()) for one in thresholds] for name, values in shares.items()}
    )
    start = pd.DataFrame([{"threshold": np.inf, "false_alarms": 0.0, "detected": 0.0}])
    return pd.concat([start, frame.assign(threshold=thresholds)], ignore_index=True)


def draw(runs: Sequence[Run]) -> Iterator[Picture]:
    """One line per attack, with its AUC; adaptive attacks are marked as such."""
    runs = sorted((run for run in runs if len(scores(run)[1])), key=lambda run: (attack_name(run), run.access))
    if not runs:
        return
    figure, frames = new_figure(4.6, 4.2), []
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="0.6", lw=0.8, ls=":")
    for place, run in enumerate(runs):
        natural, adversarial = scores(run)
        found = curve(natural, adversarial)
        name = attack_name(run) + (", adaptive" if run.access == "adaptive" else "")
        axes.plot(
            found["false_alarms"],
            found["detected"],
            color=COLOURS[place % len(COLOURS)],
            ls=DASHES[place // len(COLOURS) % len(DASHES)],
            lw=1.2,
            drawstyle="steps-post",
            label=f"{name}: AUC {area(natural, adversarial).value:.3f} ({len(adversarial)} clips)",
        )
        frames.append(found.assign(attack=name, run=run.identity))
    axes.set_xlabel("false alarms, share of natural clips")
    axes.set_ylabel("detected, share of adversarial clips")
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axes.legend(frameon=False, fontsize=6, loc="lower right")
    fit = fitted_on(runs[0]).partition(" (")[0]
    about = f"{detector_name(runs[0])}, fitted on {fit}, for {victim_name(runs[0])}, {goal(runs[0])}"
    add_title(figure, f"ROC: {about}, {data_summary(runs)}")
    yield pd.concat(frames, ignore_index=True), figure, ""


FIGURE = Drawing(
    after="detection",
    takes=lambda run: run.kind == "detection",
    name=lambda run: f"roc_{run.victim}_{detector_name(run).replace(' ', '_')}_{goal(run)}",
    apart=lambda run: [run.settings["detector"], run.settings["fit_on"], run.settings["fit_clips"], run.weights],
    draw=draw,
)

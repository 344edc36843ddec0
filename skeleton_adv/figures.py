"""Runs and trainings -> figures as PNG, PDF and CSV: ``python -m skeleton_adv.figures``. No torch here."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import RunError
from skeleton_adv.report.canvas import save_figure
from skeleton_adv.report.clips_to_draw import find_clip, load_pairs
from skeleton_adv.report.draw import group_sources, write_drawing
from skeleton_adv.report.figures import FIGURES
from skeleton_adv.report.figures.films import FIGURE as FILMS
from skeleton_adv.report.film import animate, strip
from skeleton_adv.report.show import finished
from skeleton_adv.report.trainings import TrainedWeights, load_trainings
from skeleton_adv.runs.load import Run, load_folders
from skeleton_adv.runs.shards import with_shards

NOTHING = (
    "no certificate, no attack with a clip that it can fool, no saved clip (runtime.save_clips=true), and no "
    "checkpoint with the history of its training"
)


def write_all(runs: Sequence[Run], out: Path, experiment: str | None = None, paper: bool = False) -> list[Path]:
    """Write every figure that these runs allow, in one folder per dataset.

    ``experiment``: only the figures of this one; ``paper``: only those of any experiment.
    """
    drawings = [one for one in FIGURES if one.source == "run" and experiment in (None, one.after)]
    drawings = [one for one in drawings if one.after is not None or not paper]
    return [path for drawing in drawings for path in write_drawing(drawing, runs, out)]


def write_trainings(trainings: Sequence[TrainedWeights], out: Path) -> list[Path]:
    """Write the curves of each training, with one folder per dataset; return the files."""
    drawings = [one for one in FIGURES if one.source == "checkpoint"]
    return [path for drawing in drawings for path in write_drawing(drawing, trainings, out)]


def write_one(runs: Sequence[Run], clip: str, out: Path) -> list[Path]:
    """Write a film strip and an animation of one clip, by name or number, for each run that has saved it."""
    paths = []
    saved = [run for run in runs if FILMS.takes(run) and find_clip(run, clip)]
    for name, (run,) in group_sources(saved, FILMS.name, FILMS.apart):
        for pair in load_pairs(run, find_clip(run, clip)):
            film = f"{name}_{pair.record['name']}"
            paths += save_figure(*strip(pair), out / run.dataset, film)
            paths.append(animate(pair, out / run.dataset / f"{film}.gif"))
    if not paths:
        names = [str(name) for run in runs if FILMS.takes(run) for name in list(run.records["name"])[:3]]
        way_out = (
            f"--clip takes a name, such as {', '.join(names[:3])}" if names else "run with runtime.save_clips=true"
        )
        raise RunError(f"--clip {clip}: no run has saved this clip: {way_out}")
    return paths


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Write the figures of an experiment's finished runs and print the files' names."""
    if experiment is None or experiment not in {drawing.after for drawing in FIGURES}:
        return
    runs, _ = load_folders(with_shards(folders))
    paths = write_all(runs, out, experiment)
    for path in paths:
        print(f"figure:  {path}")
    if not paths:
        print(
            "no figure: these runs contain nothing to draw (film strips require a fooled clip that was correct before)"
        )


def main() -> None:
    """Draw the figures of all finished runs and of all trainings below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.figures", description=main.__doc__)
    parser.add_argument(
        "runs", nargs="?", default="outputs/runs", type=Path, help="folder with runs or checkpoints, or one checkpoint"
    )
    parser.add_argument("--out", default="outputs/figures", type=Path, help="folder for the figures")
    parser.add_argument("--clip", help="draw only this clip, by name or number: a film strip and an animation")
    parser.add_argument("--paper", action="store_true", help="draw only the figures of experiments (experiment=...)")
    parser.add_argument("--strict", action="store_true", help="refuse unfinished runs")
    parser.add_argument("--skip-unfinished", action="store_true", help=argparse.SUPPRESS)  # now the default
    arguments = parser.parse_args()
    with one_line():
        for path in draw_all(arguments.runs, arguments.out, arguments.clip, arguments.strict, arguments.paper):
            print(path)


def draw_all(root: Path, out: Path, clip: str | None = None, strict: bool = False, paper: bool = False) -> list[Path]:
    """Write the figures of all runs and trainings at or below ``root``, or of one clip; return the files.

    Names what is left out on the error stream. Raises ``RunError`` if there is nothing to draw.
    """
    trainings, without_history = load_trainings(root)
    runs = finished(root, strict, required=clip is not None or not (trainings or without_history))
    if clip is not None:
        return write_one(runs, clip, out)
    for path in without_history:
        print(f"left out, since it contains no training history: {path}", file=sys.stderr)
    paths = write_all(runs, out, paper=paper) + write_trainings(trainings, out)
    if not paths:
        raise RunError(f"{root} contains nothing to draw: {NOTHING}")
    return paths


if __name__ == "__main__":
    main()

"""Records -> figures as PNG, PDF and CSV: ``python -m skeleton_adv.figures``. No torch here."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import RunError
from skeleton_adv.report.canvas import save_figure
from skeleton_adv.report.clips_to_draw import find_clip, load_pairs
from skeleton_adv.report.draw import group_runs, write_drawing
from skeleton_adv.report.figures import FIGURES
from skeleton_adv.report.figures.films import FIGURE as FILMS
from skeleton_adv.report.film import animate, strip
from skeleton_adv.report.show import finished
from skeleton_adv.runs.load import Run, load_run


def write_all(runs: Sequence[Run], out: Path, experiment: str | None = None) -> list[Path]:
    """Write every figure that these runs allow, or an experiment's only, by dataset; return the files."""
    drawings = [drawing for drawing in FIGURES if experiment in (None, drawing.after)]
    return [path for drawing in drawings for path in write_drawing(drawing, runs, out)]


def write_one(runs: Sequence[Run], clip: str, out: Path) -> list[Path]:
    """Write the film strip and the animation of one clip, by name or number, for each run that has saved it."""
    paths = []
    for name, (run,) in group_runs(
        [run for run in runs if FILMS.takes(run) and find_clip(run, clip)], FILMS.name, FILMS.apart
    ):
        for pair in load_pairs(run, find_clip(run, clip)):
            film = f"{name}_{pair.record['name']}"
            paths += save_figure(*strip(pair), out / run.dataset, film)
            paths.append(animate(pair, out / run.dataset / f"{film}.gif"))
    if not paths:
        raise RunError(f"--clip {clip}: no run has saved this clip; run with runtime.save_clips=true")
    return paths


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Write an experiment's figures of finished runs and name the files."""
    if experiment not in {drawing.after for drawing in FIGURES}:
        return
    runs = [run for folder in dict.fromkeys(folders) if (run := load_run(folder)) is not None]
    paths = write_all(runs, out, experiment)
    for path in paths:
        print(f"figure:  {path}")
    if not paths:
        print(
            "no figure: these runs contain nothing to draw (film strips require a fooled clip that was correct before)"
        )


def main() -> None:
    """Draw the figures of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.figures", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder with the runs")
    parser.add_argument("--out", default="outputs/figures", type=Path, help="folder for the figures")
    parser.add_argument("--clip", help="draw only this clip, by name or number: a film strip and an animation")
    parser.add_argument("--strict", action="store_true", help="refuse unfinished runs")
    parser.add_argument("--skip-unfinished", action="store_true", help=argparse.SUPPRESS)  # now the default
    arguments = parser.parse_args()
    with one_line():
        runs = finished(arguments.runs, arguments.strict)
        clip, out = arguments.clip, arguments.out
        paths = write_one(runs, clip, out) if clip else write_all(runs, out)
        if not paths:
            raise RunError(
                f"{arguments.runs} contains nothing to draw: no certificates, no transfer, no attack in an l2 ball "
                "against a defense, and no saved clip (runtime.save_clips=true) that was correct before and is fooled"
            )
        for path in paths:
            print(path)


if __name__ == "__main__":
    main()

"""Records -> figures as PNG, PDF and CSV: ``python -m skeleton_adv.figures``. No torch here."""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from skeleton_adv.cells import setting
from skeleton_adv.certified import Certified, find_certified, load_certified
from skeleton_adv.curves import accuracy_by_budget, belongs_to_budget, certified_accuracy, convergence, transfer_matrix
from skeleton_adv.drawing import save
from skeleton_adv.errors import RunError, UserError
from skeleton_adv.films import animate, strip
from skeleton_adv.kept import has_clips, has_course, pairs, telling
from skeleton_adv.summary import Run, load_run, load_runs
from skeleton_adv.transfer import TABLE2

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 3  # clips of a run whose film strips are drawn


@dataclass(frozen=True)
class Drawing:
    """One kind of figure: the experiment that it belongs to, and which runs make one picture."""

    experiment: str
    belongs: Callable[[Run], bool]
    name: Callable[[Run], str]  # runs of one name are drawn together, in a file of that name
    draw: Callable[[Sequence[Run]], tuple[pd.DataFrame, "Figure"]]


def _victim(run: Run) -> str:
    return str(run.about["choices"]["model"])


def _attacked(run: Run) -> str:
    """Victim, defense, attack, beta and goal, as a part of a file's name."""
    choices, beta = run.about["choices"], run.attack.get("beta")
    parts = [choices["model"], choices["defense"], choices["attack"], f"beta{beta:g}" if beta else "none"]
    return "_".join([*(part for part in parts if part != "none"), setting(run)])


DRAWINGS = (
    Drawing("table2", TABLE2.belongs, lambda run: "figure_transfer", transfer_matrix),
    Drawing("defense_budget", belongs_to_budget, lambda run: f"figure_defense_{_victim(run)}", accuracy_by_budget),
    Drawing("figure3", has_course, lambda run: f"figure3_{_attacked(run)}", convergence),
)


def write_all(
    runs: Sequence[Run], certified: Sequence[Certified], out: Path, experiment: str | None = None
) -> list[Path]:
    """Write every figure that these runs allow, or an experiment's only, by dataset; return the files."""
    paths = []
    for drawing in DRAWINGS:
        groups: dict[tuple[str, str], list[Run]] = {}
        for run in runs if experiment in (None, drawing.experiment) else ():
            if drawing.belongs(run):
                groups.setdefault((run.about["dataset"], drawing.name(run)), []).append(run)
        for (dataset, name), own in sorted(groups.items(), key=lambda group: group[0]):
            paths += save(*drawing.draw(own), out / dataset, name)
    if experiment in (None, "figure5"):
        paths += _write_certified(certified, out)
    if experiment in (None, "films"):
        for run in filter(has_clips, runs):
            paths += write_films(run, telling(run, SHOWN), out)
    return paths


def _write_certified(runs: Sequence[Certified], out: Path) -> list[Path]:
    """Write Figure 5 for each dataset, victim and defense among these runs; return the files."""
    groups: dict[tuple[str, str, str], list[Certified]] = {}
    for run in runs:
        choices = run.about["choices"]
        groups.setdefault((run.about["dataset"], choices["model"], choices["defense"]), []).append(run)
    paths = []
    for (dataset, model, defense), own in sorted(groups.items()):
        name = f"figure5_{model}" + ("" if defense == "none" else f"_{defense}")
        paths += save(*certified_accuracy(own), out / dataset, name)
    return paths


def write_films(run: Run, numbers: Sequence[int], out: Path) -> list[Path]:
    """Write film strips of these clips of a run; return the files."""
    folder, paths = out / run.about["dataset"], []
    for pair in pairs(run, numbers):
        paths += save(*strip(pair), folder, f"film_{_attacked(run)}_{pair.record['name']}")
    return paths


def write_one(runs: Sequence[Run], clip: str, out: Path) -> list[Path]:
    """Write the film strip and the animation of one clip, by name or number, for each run that has kept it."""
    paths = []
    for run in filter(has_clips, runs):
        rows = run.records
        for number in rows[(rows["name"] == clip) | (rows["index"].astype(str) == clip)]["index"].tolist():
            paths += write_films(run, [number], out)
            (pair,) = pairs(run, [number])
            paths.append(animate(pair, paths[-1].with_suffix(".gif")))
    if not paths:
        raise RunError(f"--clip {clip}: no run has kept such a clip; make one with runtime.save_clips=true")
    return paths


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Write an experiment's figures of finished runs and name the files."""
    if experiment is None:
        return
    folders = list(dict.fromkeys(folders))
    certified = [load_certified(folder, required=True) for folder in folders if (folder / "certificates.csv").exists()]
    runs = [load_run(folder, required=True) for folder in folders if (folder / "records.csv").exists()]
    for path in write_all([*filter(None, runs)], [*filter(None, certified)], out, experiment):
        print(f"figure:  {path}")


def main() -> None:
    """Draw the figures of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.figures", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder of the runs")
    parser.add_argument("--out", default="outputs/figures", type=Path, help="folder of the figures")
    parser.add_argument("--clip", help="draw this clip only, by name or number: its film strip and its animation")
    parser.add_argument("--skip-unfinished", action="store_true", help="leave out runs that have not ended")
    arguments = parser.parse_args()
    try:
        runs = load_runs(arguments.runs, arguments.skip_unfinished)
        certified = find_certified(arguments.runs, arguments.skip_unfinished)
        if not runs and not certified:
            raise RunError(f"{arguments.runs} holds no finished run: make one with python -m skeleton_adv")
        if arguments.clip:
            paths = write_one(runs, arguments.clip, arguments.out)
        else:
            paths = write_all(runs, certified, arguments.out)
        if not paths:
            raise RunError(
                f"{arguments.runs} holds nothing to draw: no certificates, no transfer, no PGD in an l2 ball against "
                "a defense, and no clips kept with runtime.save_clips=true"
            )
        for path in paths:
            print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

"""Records -> figures as PNG, PDF and CSV: ``python -m skeleton_adv.figures``. No torch here."""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pandas as pd

from skeleton_adv.core.errors import RunError, UserError
from skeleton_adv.report.canvas import save
from skeleton_adv.report.figures.curves import (
    accuracy_by_budget,
    belongs_to_budget,
    belongs_to_matrix,
    certified_accuracy,
    convergence,
    transfer_matrix,
)
from skeleton_adv.report.figures.films import animate, strip
from skeleton_adv.report.pairs import find, has_clips, has_course, pairs, telling
from skeleton_adv.report.stats import Run, load_runs
from skeleton_adv.report.tables.certified import Certified, find_certified
from skeleton_adv.report.words import setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 3  # clips of a run whose film strips are drawn


@dataclass(frozen=True)
class Drawing:
    """One kind of figure: the experiment that it belongs to, and which runs make one picture."""

    experiment: str
    belongs: Callable[[Run], bool]
    name: Callable[[Run], str]  # of the file
    apart: Callable[[Run], Any]  # runs that differ in this make pictures of their own
    draw: Callable[[Sequence[Run]], tuple[pd.DataFrame, "Figure"]]


def _attacked(run: Run) -> str:
    """Victim, defense, attack, beta and goal, as a part of a file's name."""
    choices, beta = run.about["choices"], run.attack.get("beta")
    parts = [choices["model"], choices["defense"], choices["attack"], f"beta{beta:g}" if beta else "none"]
    return "_".join([*(part for part in parts if part != "none"), setting(run)])


def _budget_apart(run: Run) -> Any:
    """All settings but the budget and whether the attack is adaptive; steps of one length."""
    settings = {name: value for name, value in run.about["settings"].items() if name != "adaptive"}
    return settings | {"attack": {name: value for name, value in run.attack.items() if name != "eps"}}


def _transfer_apart(run: Run) -> Any:
    """All settings but the two networks."""
    networks = ("model", "checkpoint", "surrogate", "surrogate_checkpoint")
    return {name: value for name, value in run.about["settings"].items() if name not in networks}


def _figure5_apart(run: Certified) -> Any:
    """All settings but the noise and the weights that were trained with it; the training's seed and noise."""
    settings = {name: value for name, value in run.about["settings"].items() if name != "checkpoint"}
    smoothing = {name: value for name, value in settings["smoothing"].items() if name != "sigma"}
    trained = "certified" if run.trained_noise == run.sigma else run.trained_noise
    return settings | {"smoothing": smoothing, "training": run.about.get("seeds"), "trained_noise": trained}


DRAWINGS = (
    Drawing(
        "table2",
        belongs_to_matrix,
        lambda run: f"figure_transfer_beta{run.attack['beta']:g}",
        _transfer_apart,
        transfer_matrix,
    ),
    Drawing(
        "defense_budget",
        belongs_to_budget,
        lambda run: f"figure_defense_{run.about['choices']['model']}",
        _budget_apart,
        accuracy_by_budget,
    ),
    Drawing(
        "figure3",
        has_course,
        lambda run: f"figure3_{_attacked(run)}",
        lambda run: run.about["identity"],
        convergence,
    ),
)


def write_all(
    runs: Sequence[Run], certified: Sequence[Certified], out: Path, experiment: str | None = None
) -> list[Path]:
    """Write every figure that these runs allow, or an experiment's only, by dataset; return the files."""
    paths = []
    for drawing in DRAWINGS:
        own = [run for run in runs if experiment in (None, drawing.experiment) and drawing.belongs(run)]
        for name, group in _groups(own, drawing.name, drawing.apart):
            paths += save(*drawing.draw(group), out / group[0].about["dataset"], name)
    for name, some in _groups(certified if experiment in (None, "figure5") else (), _figure5, _figure5_apart):
        paths += save(*certified_accuracy(some), out / some[0].about["dataset"], name)
    filmed = [run for run in runs if experiment in (None, "films") and has_clips(run)]
    for name, (run,) in _each(filmed):
        paths += _write_films(run, telling(run, SHOWN), name, out)
    return paths


def _figure5(run: Certified) -> str:
    model, defense = (run.about["choices"][group] for group in ("model", "defense"))
    draws = run.about["settings"]["smoothing"]["n"]
    return f"figure5_{model}" + ("" if defense == "none" else f"_{defense}") + f"_n{draws}"


AnyRun = TypeVar("AnyRun", Run, Certified)


def _groups(
    runs: Sequence[AnyRun], name: Callable[[AnyRun], str], apart: Callable[[AnyRun], Any]
) -> list[tuple[str, list[AnyRun]]]:
    """Runs that make one picture, by the name of its file; where one name means several, each has an identity too."""
    groups: dict[tuple[str, str, str], list[AnyRun]] = {}
    for run in runs:
        key = (run.about["dataset"], name(run), json.dumps(apart(run), sort_keys=True))
        groups.setdefault(key, []).append(run)
    shared = Counter(key[:2] for key in groups)
    return [
        (key[1] + (f"_{group[0].about['identity']}" if shared[key[:2]] > 1 else ""), group)
        for key, group in sorted(groups.items())
    ]


def _each(runs: Sequence[Run]) -> list[tuple[str, list[Run]]]:
    """Every run alone, with the name of its films."""
    return _groups(runs, lambda run: f"film_{_attacked(run)}", lambda run: run.about["identity"])


def _write_films(run: Run, numbers: Sequence[int], name: str, out: Path, moving: bool = False) -> list[Path]:
    """Write film strips of these clips of a run, and animations if ``moving``; return the files."""
    folder, paths = out / run.about["dataset"], []
    for pair in pairs(run, numbers):
        film = f"{name}_{pair.record['name']}"
        paths += save(*strip(pair), folder, film)
        paths += [animate(pair, folder / f"{film}.gif")] if moving else []
    return paths


def write_one(runs: Sequence[Run], clip: str, out: Path) -> list[Path]:
    """Write the film strip and the animation of one clip, by name or number, for each run that has kept it."""
    paths = []
    for name, (run,) in _each([run for run in runs if find(run, clip)]):
        paths += _write_films(run, find(run, clip), name, out, moving=True)
    if not paths:
        raise RunError(f"--clip {clip}: no run has kept such a clip; make one with runtime.save_clips=true")
    return paths


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Write an experiment's figures of finished runs and name the files."""
    if experiment not in (*(drawing.experiment for drawing in DRAWINGS), "figure5", "films"):
        return
    folders = list(dict.fromkeys(folders))
    certified = [run for folder in folders for run in find_certified(folder)]
    runs = [run for folder in folders for run in load_runs(folder)]
    paths = write_all(runs, certified, out, experiment)
    for path in paths:
        print(f"figure:  {path}")
    if not paths:
        print("no figure: these runs hold nothing that it shows (film strips: no clip was right before and fooled)")


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
                "a defense, and no clip that was kept with runtime.save_clips=true, right before, and fooled"
            )
        for path in paths:
            print(path)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()

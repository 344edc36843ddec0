"""The engine of figures: which runs make one picture, its name, and its files."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from skeleton_adv.report.canvas import save_figure
from skeleton_adv.report.words import goal
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Numbers, a picture of them, and what the name of its files ends with.
Picture = tuple[pd.DataFrame, "Figure", str]


@dataclass(frozen=True)
class Drawing:
    """One kind of figure, declared.

    - ``after``: the experiment that it is drawn at the end of
    - ``takes``: which runs it can be made of
    - ``name``: of its files, from any of the runs
    - ``apart``: runs that differ in this make pictures of their own
    - ``draw``: runs of one dataset -> their pictures
    """

    after: str
    takes: Callable[[Run], bool]
    name: Callable[[Run], str]
    apart: Callable[[Run], Any]
    draw: Callable[[Sequence[Run]], Iterable[Picture]]


def write_drawing(drawing: Drawing, runs: Sequence[Run], out: Path) -> list[Path]:
    """Write every picture that these runs allow, by dataset; return the files."""
    paths = []
    for name, group in group_runs([run for run in runs if drawing.takes(run)], drawing.name, drawing.apart):
        for frame, figure, end in drawing.draw(group):
            paths += save_figure(frame, figure, out / group[0].dataset, name + end)
    return paths


def group_runs(
    runs: Sequence[Run], name: Callable[[Run], str], apart: Callable[[Run], Any]
) -> list[tuple[str, list[Run]]]:
    """Runs that make one picture, by the name of its file; where one name means several, each has an identity too."""
    found: dict[tuple[str, str, str], list[Run]] = {}
    for run in runs:
        key = (run.dataset, name(run), json.dumps(apart(run), sort_keys=True))
        found.setdefault(key, []).append(run)
    shared = Counter(key[:2] for key in found)
    return [
        (key[1] + (f"_{group[0].identity}" if shared[key[:2]] > 1 else ""), group)
        for key, group in sorted(found.items())
    ]


def attack_file_name(run: Run) -> str:
    """Victim, defense, attack, beta and goal, as a part of a file's name."""
    beta = run.of_attack.get("beta")
    parts = [run.victim, run.defense, run.attack, f"beta{beta:g}" if beta else None, goal(run)]
    return "_".join(part for part in parts if part)


def without(settings: Any, *names: str) -> dict[str, Any]:
    """Settings but for some."""
    return {name: value for name, value in settings.items() if name not in names}

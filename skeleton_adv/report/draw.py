"""The engine of figures: which runs make one picture, the name of its files, and the files."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import pandas as pd

from skeleton_adv.report.canvas import save_figure
from skeleton_adv.report.words import goal
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The numbers, a picture of them, and the end of the files' name.
Picture = tuple[pd.DataFrame, "Figure", str]


class Drawable(Protocol):
    """What a figure is drawn from: a run, or the training of a checkpoint."""

    @property
    def dataset(self) -> str: ...

    @property
    def identity(self) -> str: ...


Source = TypeVar("Source", bound=Drawable)


@dataclass(frozen=True)
class Drawing(Generic[Source]):
    """One kind of figure, declared.

    - ``after``: the experiment that draws it at its end; None: drawn on request only
    - ``takes``: which runs it accepts
    - ``name``: the name of its files, from any of its runs
    - ``apart``: runs with different values get separate pictures
    - ``draw``: runs of one dataset -> their pictures
    - ``source``: whether it is drawn from runs or from checkpoints
    """

    after: str | None
    takes: Callable[[Source], bool]
    name: Callable[[Source], str]
    apart: Callable[[Source], Any]
    draw: Callable[[Sequence[Source]], Iterable[Picture]]
    source: Literal["run", "checkpoint"] = "run"


def write_drawing(drawing: Drawing[Source], sources: Sequence[Source], out: Path) -> list[Path]:
    """Write every picture that these runs or checkpoints allow, with one folder per dataset; return the files."""
    paths = []
    taken = [source for source in sources if drawing.takes(source)]
    for name, group in group_sources(taken, drawing.name, drawing.apart):
        for frame, figure, end in drawing.draw(group):
            paths += save_figure(frame, figure, out / group[0].dataset, name + end)
    return paths


def group_sources(
    sources: Sequence[Source], name: Callable[[Source], str], apart: Callable[[Source], Any]
) -> list[tuple[str, list[Source]]]:
    """The runs of each picture, with the name of its files.

    If several pictures have the same name, each name ends with the identity of the picture's first run.
    """
    found: dict[tuple[str, str, str], list[Source]] = {}
    for source in sources:
        key = (source.dataset, name(source), json.dumps(apart(source), sort_keys=True))
        found.setdefault(key, []).append(source)
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
    """The settings except those with these names."""
    return {name: value for name, value in settings.items() if name not in names}

"""The cells of a published table, and the runs that they appear beside.

``paper/names.csv`` contains the paper's names for our options.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from skeleton_adv.report import words
from skeleton_adv.runs.load import Run

PAPER = Path(__file__).parent / "paper"
Facts = Mapping[str, Any]  # what identifies a published cell


@cache
def read(name: str) -> pd.DataFrame:
    """The published numbers of ``paper/<name>.csv``."""
    return pd.read_csv(PAPER / f"{name}.csv")


@cache
def _names(kind: str) -> Mapping[str, str]:
    names = read("names")
    names = names[names["kind"] == kind]
    return dict(zip(names["ours"], names["paper"], strict=True))


def paper_name(kind: str, ours: str | None) -> str | None:
    """The paper's name for one of our options; None if the paper does not have it."""
    return _names(kind).get(ours) if ours else None


def remarks(options: set[str]) -> list[str]:
    """Notes on the options that differ from the paper's."""
    names = read("names").dropna(subset="note")
    return [f"{ours}: {note}." for ours, note in zip(names["ours"], names["note"], strict=True) if ours in options]


def facts(run: Run) -> dict[str, Any]:
    """What identifies the published cells beside a run, by the paper's names; None if the paper does not have it."""
    return {
        "split": paper_name("data", run.stands_for),
        "setting": "targeted" if run.targeted else "untargeted",
        "model": paper_name("model", run.victim),
        "source": paper_name("model", run.surrogate),
        "target": paper_name("target", run.victim) if run.weights != run.surrogate_weights else None,
        "attack": paper_name("attack", run.attack),
        "defense": paper_name("defense", run.defense),
        "beta": run.of_attack.get("beta"),
        "sigma": run.of_defense.get("sigma"),
        "draws": run.of_defense.get("draws"),
        "plain": not words.training_summary(run)
        and not words.surrogate_training_summary(run)
        and all(paper_name("constraint", name) for name in run.constraints),
    }


@dataclass(frozen=True)
class Published:
    """A published table.

    - ``file``: its name in ``paper``
    - ``by``: the columns that identify a row
    - ``columns``: our column -> the published one, and the factor to our unit
    - ``given``: whether these are the settings at which its cells were measured
    - ``notes``: whether a missing cell is explained
    """

    file: str
    by: tuple[str, ...]
    columns: Mapping[str, tuple[str, float]]
    given: Callable[[Facts], bool] = lambda facts: True
    notes: bool = False

    def beside(self, found: Facts) -> dict[str, Any]:
        """Our columns ``paper_*`` for these facts; ``paper_note`` explains a missing cell if ``notes``."""
        if found["split"] is None:
            return {}
        frame, wanted = read(self.file), tuple(found[name] for name in self.by)
        if found["plain"] and self.given(found):
            same = _index(self.file, self.by).get(wanted)
            if same is not None:
                values = {ours: frame[theirs][same] * factor for ours, (theirs, factor) in self.columns.items()}
                return ({"paper_split": found["split"]} if self.notes else {}) | values
            if self.notes and all(value in {*frame[name]} for name, value in zip(self.by, wanted, strict=True)):
                return {"paper_note": "not in the source"}
        return {"paper_note": "not in the paper"} if self.notes else {}

    def grid(self, over: Sequence[str]) -> list[dict[str, Any]]:
        """Every combination of the values in these columns of the published table."""
        values = [[*dict.fromkeys(read(self.file)[name])] for name in over]
        return [dict(zip(over, one, strict=True)) for one in product(*values)]


@cache
def _index(file: str, by: tuple[str, ...]) -> dict[tuple[Any, ...], int]:
    rows = read(file)[[*by]].itertuples(index=False, name=None)
    return {one: place for place, one in enumerate(rows)}

"""Tables as text and on the screen."""

import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

import pandas as pd
from tabulate import tabulate

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.table import Table
from skeleton_adv.report.tables import plain
from skeleton_adv.report.weakness import signs
from skeleton_adv.report.words import data_summary
from skeleton_adv.report.write import run_name
from skeleton_adv.runs.load import Run, load_runs

MOST = 60  # rows of a table on the screen


def by_dataset(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each dataset, sorted by the dataset's name."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.dataset, []).append(run)
    return [found[name] for name in sorted(found)]


def shown(table: Table, runs: Sequence[Run], frame: pd.DataFrame, wide: bool = False, heading: str = "") -> str:
    """The text of a table: its title, its rows, and notes on its columns. ``runs`` are its own, of one dataset."""
    page = table.page(frame, scope_of(runs), wide)
    grid = {head: texts[:MOST] for head, texts in page.grid.items()}
    lines = [fill(heading or table.heading(runs), 120)]
    lines += [fill(page.common, 120)] if page.common else []
    lines += ["", tabulate(grid, "keys", "simple", disable_numparse=True)]
    lines += [f"... and {len(frame) - MOST} more rows in the files"] if len(frame) > MOST else []
    return "\n".join([*lines, "", fill(table.about(runs, page.columns), 120), ""])


def show(table: Table, runs: Sequence[Run], frame: pd.DataFrame, wide: bool = False, heading: str = "") -> None:
    """Print a table, see ``shown``."""
    print(shown(table, runs, frame, wide, heading))


def new_runs(runs: Sequence[Run]) -> str:
    """The text about runs that have just finished: a table per kind and dataset, and signs of weak attacks."""
    texts = []
    for here in by_dataset(runs):
        for kind in sorted({run.kind for run in here}):
            own = [run for run in here if run.kind == kind]
            table = plain(kind, own)
            texts.append(shown(table, own, table.rows(own), heading=f"{kind.capitalize()}s {data_summary(own)}"))
    weak = signs([run for run in runs if run.kind == "attack"], runs)
    return "\n".join([*texts, *(f"warning: {run_name(run)}: {words}" for run, words in weak)])


def show_new(runs: Sequence[Run]) -> None:
    """Print the tables of runs that have just finished, see ``new_runs``."""
    if runs:
        print(new_runs(runs))


def finished(root: Path, strict: bool, required: bool = True, once: bool = False) -> list[Run]:
    """All finished runs below a folder; unfinished ones are named on the error stream.

    ``once``: whether copies of one run with the same rows count once. Raises ``RunError`` if there is no run, unless
    they are not ``required``.
    """
    runs, unfinished = load_runs(root, strict, once)
    for folder in unfinished:
        print(f"left out, because it is unfinished: {folder}", file=sys.stderr)
    if required and not runs:
        raise RunError(f"{root} contains no finished run: make one with python -m skeleton_adv")
    return runs

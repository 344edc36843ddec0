"""Tables on the screen, and the runs that they are of."""

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

MOST = 60  # rows of a table that the screen shows


def by_dataset(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs of each dataset, in the order of their names."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.dataset, []).append(run)
    return [found[name] for name in sorted(found)]


def show(table: Table, runs: Sequence[Run], frame: pd.DataFrame, wide: bool = False, heading: str = "") -> None:
    """Print a table's rows of its own runs of one dataset: what it is of, and what its columns mean."""
    shown = table.page(frame, scope_of(runs), wide)
    grid = {head: texts[:MOST] for head, texts in shown.grid.items()}
    print(fill(heading or table.heading(runs), 120))
    if shown.common:
        print(fill(shown.common, 120))
    print(f"\n{tabulate(grid, 'keys', 'simple', disable_numparse=True)}")
    if len(frame) > MOST:
        print(f"... and {len(frame) - MOST} more rows in the files")
    print(f"\n{fill(table.about(runs, shown.columns), 120)}\n")


def show_new(runs: Sequence[Run]) -> None:
    """Print runs that have just ended, those of each kind and dataset in one table, and signs of weak attacks."""
    for here in by_dataset(runs):
        for kind in sorted({run.kind for run in here}):
            own = [run for run in here if run.kind == kind]
            table = plain(kind)
            show(table, own, table.rows(own), heading=f"{kind.capitalize()}s {data_summary(own)}")
    for run, words in signs([run for run in runs if run.kind == "attack"], runs):
        print(f"warning: {run_name(run)}: {words}")


def finished(root: Path, strict: bool) -> list[Run]:
    """All finished runs below a folder; names those that have not ended. Raises ``RunError`` if there is none."""
    runs, unfinished = load_runs(root, strict)
    for folder in unfinished:
        print(f"left out, since it has not ended: {folder}", file=sys.stderr)
    if not runs:
        raise RunError(f"{root} holds no finished run: make one with python -m skeleton_adv")
    return runs

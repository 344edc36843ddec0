"""The declared tables of these runs, cell by cell as ``python -m skeleton_adv.tables`` writes them."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from skeleton_adv.page.board import key_of
from skeleton_adv.report.columns import expand, scope_of
from skeleton_adv.report.show import by_dataset
from skeleton_adv.report.table import Page, Table, page
from skeleton_adv.report.tables import by_table
from skeleton_adv.report.weakness import signs
from skeleton_adv.report.write import commands, run_name
from skeleton_adv.runs.load import Run


def tables(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Every table with its heading, notes, further pages, signs of weak attacks and commands."""
    return [_table(table, own, here) for here in by_dataset(runs) for table, own in by_table(here)]


def _table(table: Table, own: Sequence[Run], runs: Sequence[Run]) -> dict[str, Any]:
    frame, scope = table.rows(own), scope_of(own)
    first = table.page(frame, scope)
    further = []
    for more in table.further:
        seen = runs if more.of_all else own
        if numbers := more.rows(seen):
            shown = page(numbers, expand(more.columns(seen), scope), (), scope, wide=True)
            further.append({"heading": more.heading, **_grid(shown)})
    keys = {run.identity: key_of(run) for run in own}
    weak = [f"{run_name(run)}: {words}" for run, words in signs(own, runs)] if table.kind == "attack" else []
    return {
        "name": table.name,
        "dataset": own[0].dataset,
        "heading": table.heading(own),
        **_grid(first),
        "runs": _runs(frame, keys),
        "about": table.about(own, first.columns),
        "further": further,
        "weak": weak,
        "commands": commands(own),
    }


def _grid(shown: Page) -> dict[str, Any]:
    rows = [list(row) for row in zip(*shown.grid.values(), strict=True)]
    return {"common": shown.common, "heads": [*shown.grid], "rows": rows}


def _runs(frame: pd.DataFrame, keys: Mapping[str, str]) -> list[list[str]]:
    """The runs of each row."""
    names = [name for name in frame if name == "run" or str(name).endswith("_run")]
    return [[keys[one] for one in row if one in keys] for row in frame[names].itertuples(index=False, name=None)]

"""The tables. Each module here declares one as ``TABLE`` and is found automatically."""

from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pkgutil import iter_modules

from skeleton_adv.report.table import Table
from skeleton_adv.runs.load import Run

TABLES: tuple[Table, ...] = tuple(
    import_module(f"{__name__}.{module.name}").TABLE for module in sorted(iter_modules(__path__), key=lambda m: m.name)
)


def by_table(runs: Sequence[Run]) -> list[tuple[Table, list[Run]]]:
    """Each table with its runs, if any; runs that no table accepts go to the tables for the rest."""
    own: dict[str, list[Run]] = {table.name: [] for table in TABLES}
    for run in runs:
        tables = [table for table in TABLES if table.kind == run.kind]
        takers = [table for table in tables if table.takes and table.takes(run)]
        for table in takers or [table for table in tables if table.takes is None]:
            own[table.name].append(run)
    return [pair for table in TABLES if own[table.name] for pair in _split(table, own[table.name])]


def _split(table: Table, runs: Sequence[Run]) -> list[tuple[Table, list[Run]]]:
    """The table with its runs, or one table per value by which it sets runs apart."""
    if table.apart is None:
        return [(table, [*runs])]
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(table.apart(run), []).append(run)
    return [
        (replace(table, name=f"{table.name}_{value}", title=f"{table.title} {value}"), groups[value])
        for value in sorted(groups)
    ]


def plain(kind: str, runs: Sequence[Run]) -> Table:
    """The table that can show all these runs of a kind."""
    tables = [table for table in TABLES if table.kind == kind]
    fit = [table for table in tables if table.takes is None or all(map(table.takes, runs))]
    return next((table for table in tables if table.takes is None), (fit or tables)[0])

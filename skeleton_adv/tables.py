"""Records -> tables as Markdown, LaTeX and CSV: ``python -m skeleton_adv.tables``."""

import argparse
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from skeleton_adv.core.ending import one_line
from skeleton_adv.report.show import by_dataset, finished, show, show_new
from skeleton_adv.report.table import Table
from skeleton_adv.report.tables import TABLES, by_table, plain
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run, load_folders
from skeleton_adv.runs.schema import KINDS
from skeleton_adv.runs.shards import with_shards


def show_and_write(runs: Sequence[Run], out: Path, wide: bool = False) -> list[Path]:
    """Show and write every table of these runs, with one folder per dataset; return the files."""
    paths = []
    for here in by_dataset(runs):
        for table, own in by_table(here):
            rows = table.rows(own)
            show(table, own, rows, wide)
            paths += write(table, own, rows, here, out, wide)
    return paths


def report(folders: Iterable[Path], experiment: str | None, out: Path) -> None:
    """Show finished runs and the names of their files on the screen; write the experiment's table."""
    runs, unfinished = load_folders(with_shards(folders))
    show_new(runs)
    for run in runs:
        parts = "" if run.folder is None or (run.folder / KINDS[run.kind].file).exists() else "shard_*/"
        print(f"records: {run.folder}/{parts}{KINDS[run.kind].file}")
    for parent in sorted({folder.parent for folder in unfinished}):
        print(f"no table yet: {sum(folder.parent == parent for folder in unfinished)} shards are missing in {parent}")
    for here in by_dataset(runs) if experiment else ():
        for table, own in _of_experiment(str(experiment), here):
            for path in write(table, own, table.rows(own), here, out):
                print(f"table:   {path}")


def _of_experiment(experiment: str, runs: Sequence[Run]) -> list[tuple[Table, list[Run]]]:
    """An experiment's own table with its runs, or a table of all its runs under its name if it has none.

    Several experiments may fill one table: ``defenses_admm`` belongs to ``defenses``.
    """
    for table in TABLES:
        own = [run for run in runs if table.takes and table.kind == run.kind and table.takes(run)]
        if own and (experiment == table.name or experiment.startswith(f"{table.name}_")):
            return [(table, own)]
    found = []
    for kind in sorted({run.kind for run in runs}):
        own = [run for run in runs if run.kind == kind]
        table = plain(kind, own)
        named = table if table.takes else replace(table, name=experiment, title=f"Experiment {experiment}")
        found.append((named, own))
    return found


def main() -> None:
    """Show and write the tables of all finished runs below a folder."""
    parser = argparse.ArgumentParser(prog="python -m skeleton_adv.tables", description=main.__doc__)
    parser.add_argument("runs", nargs="?", default="outputs/runs", type=Path, help="folder with the runs")
    parser.add_argument("--out", default="outputs/tables", type=Path, help="folder for the tables")
    parser.add_argument("--wide", action="store_true", help="show all columns, not only the ten most important")
    parser.add_argument("--strict", action="store_true", help="refuse unfinished runs")
    parser.add_argument("--skip-unfinished", action="store_true", help=argparse.SUPPRESS)  # now the default
    arguments = parser.parse_args()
    with one_line():
        runs = finished(arguments.runs, arguments.strict)
        for path in show_and_write(runs, arguments.out, arguments.wide):
            print(path)


if __name__ == "__main__":
    main()

"""Copy finished runs into outputs/reference/<dataset>/runs, where they are committed, and make the tables from them.

    python scripts/pack_runs.py outputs/reference_runs      # copy, then make the tables of all committed runs
    python scripts/pack_runs.py                             # only make the tables

A copied run is its run.json and its compressed rows; saved clips are left behind. A run that is there already is
compared: its rows must be the same. A table that also has rows of runs that were never committed is kept as it is, and
the committed runs are in a table of their own beside it, ``<table>_more``.
"""

import argparse
import gzip
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from skeleton_adv.core.ending import one_line
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import write_whole
from skeleton_adv.report.show import by_dataset
from skeleton_adv.report.tables import by_table
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run, load_runs
from skeleton_adv.runs.schema import KINDS

REFERENCE = Path("outputs/reference")


def pack(run: Run, reference: Path = REFERENCE) -> Path:
    """Copy one run below ``reference``; raises ``RunError`` if other rows of the same run are there."""
    assert run.folder is not None
    parts = [str(run.choices[name]) for name in ("model", "attack") if name in run.choices]
    place = reference / run.dataset / "runs" / "-".join([*parts, run.identity])
    rows = KINDS[run.kind].file
    packed = place / f"{rows}.gz"
    content = (run.folder / rows).read_bytes()
    if packed.exists() and gzip.decompress(packed.read_bytes()) != content:
        raise RunError(f"{packed} has other rows than {run.folder}: delete one of them")
    if not packed.exists():
        place.mkdir(parents=True, exist_ok=True)
        write_whole(packed, gzip.compress(content, mtime=0))
        shutil.copyfile(run.folder / "run.json", place / "run.json")
    return place


def tables(reference: Path = REFERENCE) -> list[Path]:
    """Make the tables of all committed runs, beside them; return the files."""
    paths = []
    for folder in sorted(reference.glob("*/runs")):
        for runs in by_dataset(load_runs(folder)[0]):
            for table, own in by_table(runs):
                if _others(reference / own[0].dataset / f"{table.name}.csv", own):
                    table = replace(table, name=f"{table.name}_more")
                paths += write(table, own, table.rows(own), runs, reference)
    return paths


def _others(table: Path, runs: Sequence[Run]) -> bool:
    """Whether an existing table has rows of other runs."""
    if not table.exists():
        return False
    frame = pd.read_csv(table, dtype=str)
    columns = [name for name in frame if name == "run" or name.endswith("_run")]  # runs may be side by side
    return not {*frame[columns].stack().dropna()} <= {run.identity for run in runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=Path, help="folder with finished runs")
    arguments = parser.parse_args()
    with one_line():
        for run in load_runs(arguments.runs)[0] if arguments.runs else ():
            print(pack(run))
        for path in tables():
            print(path)


if __name__ == "__main__":
    main()

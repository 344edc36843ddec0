"""scripts/pack_runs.py: finished runs are committed with all their rows, and no row of a table is lost."""

import runpy
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import samples

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.load import load_runs

SCRIPT = Path(__file__).parents[2] / "scripts" / "pack_runs.py"


@pytest.fixture
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


def made(folder: Path, identity: str, beta: float, **columns: Any) -> Path:
    facts = samples.about(identity=identity, settings={"attack": {"beta": beta}})
    return samples.write(folder / identity, facts, samples.six_rows(**columns))


def listed(table: Path) -> int:
    """The number of runs in a table, which also has the paper's cells."""
    return int(pd.read_csv(table)["run"].notna().sum())


def test_packed_runs_have_the_same_rows(script: dict[str, Any], tmp_path: Path) -> None:
    made(tmp_path / "runs", "a" * 12, 0.1)
    (run,) = load_runs(tmp_path / "runs")[0]
    place = script["pack"](run, tmp_path / "reference")
    assert {path.name for path in place.iterdir()} == {"records.csv.gz", "run.json"}
    (packed,) = load_runs(tmp_path / "reference")[0]
    pd.testing.assert_frame_equal(packed.records, run.records)
    assert script["pack"](run, tmp_path / "reference") == place  # again: nothing to do
    made(tmp_path / "others", "a" * 12, 0.1, l2=0.7)
    (other,) = load_runs(tmp_path / "others")[0]
    with pytest.raises(RunError, match="has other rows"):
        script["pack"](other, tmp_path / "reference")


def test_rows_of_runs_that_were_never_committed_stay(script: dict[str, Any], tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    made(tmp_path / "runs", "a" * 12, 0.1)
    made(tmp_path / "runs", "b" * 12, 1.0)
    first, second = load_runs(tmp_path / "runs")[0]
    script["pack"](first, reference)
    table = reference / first.dataset / "table1.csv"
    assert table in script["tables"](reference) and listed(table) == 1
    script["pack"](second, reference)
    script["tables"](reference)
    assert listed(table) == 2  # of committed runs only, so it is made again
    older = table.read_text().replace("b" * 12, "c" * 12)
    table.write_text(older)
    assert table.with_name("table1_more.csv") in script["tables"](reference)
    assert table.read_text() == older and listed(table.with_name("table1_more.csv")) == 2

"""Certified accuracy in the body's terms by hand, its table and its figure."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import certified

from skeleton_adv.figures import write_all
from skeleton_adv.report.bodies import certified_within, median_within, speaks_of
from skeleton_adv.report.figures.certified_body import draw
from skeleton_adv.report.tables import by_table, plain
from skeleton_adv.report.tables.certified_body import TABLE
from skeleton_adv.runs.load import Run

TERMS = {"bone_percent": [2.0, 8.0, 0.0, 20.0], "yaw_degrees": [math.nan] * 4, "hz1_mm": [1.0, 6.0, 0.0, 9.0]}


def of_body(space: str = "bones", **facts: Any) -> Run:
    """As ``certified``: correct up to 2 and 8 %; abstained; wrong with 20 %."""
    smoothing = {"sigma": 0.25, "n": 1000, "alpha": 0.001} | ({} if space == "joints" else {"space": space})
    made = certified(settings={"smoothing": smoothing}, training={"name": "noise", "space": space}, **facts)
    for name, values in TERMS.items():
        made.records[name] = values if space != "yaw" else [30.0] * 4 if name == "yaw_degrees" else math.nan
    return made


def test_certified_accuracy_by_hand() -> None:
    run = of_body()
    found = [certified_within(run, "bone_percent", limit) for limit in (0, 2, 2.1, 8.1)]
    assert [rate.hits for rate in found if rate] == [2, 2, 1, 0] and all(rate and rate.count == 4 for rate in found)
    assert certified_within(run, "yaw_degrees", 0) is None and not speaks_of(run, "yaw_degrees")
    assert certified_within(run, "jitter_mm", 0) is None  # a run of an earlier version lacks the column
    assert median_within(run, "bone_percent") == pytest.approx(1.0) and median_within(run, "yaw_degrees") is None
    assert certified_within(of_body("yaw"), "yaw_degrees", 30.0).hits == 2  # type: ignore[union-attr]


def test_runs_are_in_the_table_of_their_space() -> None:
    l2, old, bones = of_body("joints", identity="abd"), certified(identity="abe"), of_body()
    tables = {table.name: {run.identity for run in runs} for table, runs in by_table([l2, old, bones])}
    assert tables == {"certified": {"abd", "abe"}, "certified_body": {"abc", "abd"}}
    assert plain("certificate", [bones, l2]) is TABLE and plain("certificate", [old]).name == "certified"
    numbers = TABLE.rows([bones, l2])
    assert set(numbers["noise"]) == {"bone lengths", "each coordinate (ℓ2)"}
    assert numbers["bone_percent_5_hits"].tolist() == [1, 1] and (numbers["differs"] == "").all()
    assert "1 Hz" in TABLE.notes([bones])


def test_the_figure_has_a_line_for_each_run_that_says_something(tmp_path: Path) -> None:
    runs = [of_body(), of_body("joints", identity="abd"), of_body("yaw", identity="abe"), certified(identity="abf")]
    ((frame, figure, _),) = draw(runs[:3])
    assert frame.groupby(["change", "space"]).size().to_dict() == {
        (change, space): 62
        for change, spaces in (
            ("bone_percent", ("bones", "joints")),
            ("hz1_mm", ("bones", "joints")),
            ("yaw_degrees", ("yaw",)),
        )
        for space in spaces
    }
    assert [axes.get_xlabel().split()[0] for axes in figure.axes] == ["all", "yaw", "motion"]
    paths = write_all(runs, tmp_path)
    names = [path.name for path in paths if path.suffix == ".csv"]
    assert "figure5_body_hcn_n1000.csv" in names
    body = next(path for path in paths if path.name == "figure5_body_hcn_n1000.csv")
    assert {*pd.read_csv(body)["run"]} == {"abc", "abd", "abe"}

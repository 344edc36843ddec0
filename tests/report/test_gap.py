"""Verdicts by hand, their tables and their figure."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import samples

from skeleton_adv.figures import write_all
from skeleton_adv.report import gap
from skeleton_adv.report.columns import scope_of
from skeleton_adv.report.tables import by_table
from skeleton_adv.report.write import write
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import GAP

ROWS: dict[str, list[Any]] = {
    "label": [0, 1, 2, 0, 1],
    "pred": [0, 1, 2, -1, 2],
    "adv_pred": [0, 2, -1, -1, 2],
    "radius": [0.5, 0.1, 0.1, 0.0, 0.3],
    "bound": [0.2, 0.2, 0.2, 0.2, float("inf")],
    "length": [0.1, 0.2, 0.1, 0.2, 0.1],
    "feasible": [True, True, True, False, True],
    "certified": [True, False, False, False, False],
    "attacked": [False, True, False, False, True],
    "verdict": ["certified", "attacked", "unknown", "abstains", "wrong"],
}
LIMITS: dict[str, dict[str, Any]] = {
    "paper": {"bone": {"eps": 0.01}, "angle": {"eps": 0.1}},
    "bone10": {"bone_factor": {"eps": 0.1}},
    "yaw10": {"view": {"eps": 10.0, "up": "y"}},
}


def run(constraint: str = "paper", tolerance: float = 1.0, **facts: Any) -> Run:
    base = {"index": [*range(5)], "name": [f"clip_{place}" for place in range(5)]} | ROWS
    held = {name: base.get(name, samples.TYPES[kind]) for name, kind in GAP.columns.items()}
    rows = [{name: each[n] if isinstance(each, list) else each for name, each in held.items()} for n in range(5)]
    settings = {"smoothing": {"sigma": 0.25, "n": 1000, "alpha": 0.001}, "tolerance": tolerance}
    settings |= {"constraint": LIMITS[constraint]} | facts.pop("settings", {})
    choices = {"attack": "admm_feasible", "constraint": constraint}
    given = {"done": 5, "access": "adaptive", "randomised": True, "constraints": {}, "trained_noise": 0.25} | facts
    return samples.run(
        rows, kind="gap", settings=settings, choices=choices, identity=f"{constraint}{tolerance}", **given
    )


def test_shares_by_hand() -> None:
    found = run()
    hits = {verdict: gap.share(found, verdict).hits for verdict in gap.VERDICTS}
    assert hits == {"certified": 1, "attacked": 1, "unknown": 1, "abstains": 1, "wrong": 1, "both": 0}
    assert gap.silenced(found).columns("s")["s"] == pytest.approx(1 / 3)
    assert gap.median(found, "radius") == 0.1 and gap.median(found, "bound") == 0.2
    assert gap.reached(found) == pytest.approx(0.5)  # of 0.5, 1, 0.5 and 0


def test_tolerances_have_the_unit_of_the_limit() -> None:
    units = {name: (gap.family(one), gap.tolerance(one)) for name in LIMITS for one in [run(name, 0.5)]}
    assert units == {"paper": ("paper", 0.5), "bone10": ("bones", pytest.approx(5)), "yaw10": ("yaw", 5)}


def test_each_kind_of_limit_has_a_table_of_its_own(tmp_path: Path) -> None:
    runs = [run(name, tolerance) for name in LIMITS for tolerance in (0.5, 1.0)]
    found = by_table(runs)
    assert [table.name for table, _ in found] == ["gap_bones", "gap_paper", "gap_yaw"]
    for table, own in found:
        frame = table.rows(own)
        assert len(frame) == 2 and frame["certified_hits"].tolist() == [1, 1] and not frame["differs"].any()
        shown = table.page(frame, scope_of(own)).grid
        assert len(shown) <= 10 and {"limit", "certified", "attacked", "unknown", "abstains"} <= {*shown}
        paths = write(table, own, frame, own, tmp_path)
        assert "fresh draws" in paths[0].read_text()
    assert found[0][0].rows(found[0][1])["tolerance"].tolist() == [5.0, 10.0]


def test_the_figure_stacks_all_clips(tmp_path: Path) -> None:
    paths = write_all([run(tolerance=value) for value in (0.5, 1.0, 2.0)], tmp_path)
    assert [path.name for path in paths] == [f"gap_hcn_paper_joints.{kind}" for kind in ("png", "pdf", "csv")]
    frame = pd.read_csv(paths[2])
    assert frame.groupby("tolerance")["share"].sum().tolist() == pytest.approx([1, 1, 1])

"""Figures of experiments: their numbers and their files."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import defended, transfer

from skeleton_adv.core.errors import RunError
from skeleton_adv.figures import write_all
from skeleton_adv.report.figures import FIGURES
from skeleton_adv.report.figures.budget import budgets, takes
from skeleton_adv.report.figures.transfer import FIGURE as MATRIX
from skeleton_adv.report.figures.transfer import draw
from skeleton_adv.runs.load import Run


def budget(eps: float, adaptive: bool, accuracy: float, step: float | None = None, **facts: Any) -> Run:
    attack = {"eps": eps, "norm": "l2", "conf": 0.0} | ({"step": step} if step else {})
    rows = {"l2": eps, "control_share": 0.25}
    choices = {"attack": "pgd"} | facts.pop("choices", {})
    return defended(0.01, adaptive, accuracy, rows, settings={"attack": attack}, choices=choices, **facts)


def test_every_figure_is_found() -> None:
    after = {"table2", "defense_budget", "detection", "figure3", "figure5", "figure5_body", "films", "gap", None}
    assert {figure.after for figure in FIGURES} == after


def test_numbers_behind_the_curves() -> None:
    frame = budgets([budget(0.1, False, 0.8), budget(0.1, True, 0.5), budget(0.4, True, 0.0)])
    assert frame["kind"].tolist() == ["adaptive", "adaptive", "clean", "noise", "noise", "noise", "oblivious"]
    assert frame["accuracy"].tolist() == pytest.approx([0.5, 0.0, 0.9, 0.75, 0.75, 0.75, 0.8])
    assert frame["l2"].drop(2).tolist() == pytest.approx([0.1, 0.4, 0.1, 0.1, 0.4, 0.1])
    assert {*frame["sigma"]} == {0.01} and {*frame["eot"]} == {8}
    assert (frame["low"] <= frame["accuracy"]).all() and (frame["accuracy"] <= frame["high"]).all()


def test_rows_are_surrogates_and_columns_are_victims() -> None:
    ((frame, figure, _),) = draw([transfer("agcn", 0.01), transfer("hcn", 0.01)])
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["agcn s0", "hcn s0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hcn s1"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75.0\n3/4", (1, 0): "75.0\n3/4"}
    assert frame["source"].tolist() == ["hcn s1"] * 2 and frame["target"].tolist() == ["agcn s0", "hcn s0"]
    assert frame["success_if_right"].tolist() == [0.75, 0.75]
    assert frame["success_if_right_hits"].tolist() == [3, 3] and frame["success_if_right_clips"].tolist() == [4, 4]


def test_networks_of_one_name_have_distinct_labels_and_other_runs_are_refused() -> None:
    again = transfer("hcn", 0.01, settings={"checkpoint": "0123456789"}, identity="def")
    ((frame, _, _),) = draw([transfer("hcn", 0.01), again])
    assert frame["target"].tolist() == ["hcn s0 (01234567)", "hcn s0 (weights)"]
    twice = transfer("hcn", 0.01, settings={"checkpoint": "0123456789"}, identity="ghi")
    with pytest.raises(RunError, match="runs def and ghi have the same two networks"):
        [*draw([again, twice])]
    assert not MATRIX.takes(transfer("hcn", 0.01, settings={"targeted": True}))
    assert takes(budget(0.1, True, 0.5)) and not takes(budget(0.1, True, 0.5, choices={"defense": "none"}))
    assert not takes(transfer("hcn", 0.01)) and not takes(defended(0.01, True, 0.5))


def test_a_figure_is_a_png_a_pdf_and_a_csv(tmp_path: Path) -> None:
    runs = [transfer("hcn", 0.1), transfer("hcn", 0.01), budget(0.1, True, 0.5), budget(0.1, False, 0.7)]
    paths = write_all(runs, tmp_path, "table2") + write_all(runs, tmp_path, "defense_budget")
    names = sorted(path.name for path in paths)
    stems = ("figure_defense_hcn", "figure_transfer_beta0.01", "figure_transfer_beta0.1")
    assert names == [f"{stem}.{kind}" for stem in stems for kind in ("csv", "pdf", "png")]
    for path in paths:
        start = {".png": b"\x89PNG", ".pdf": b"%PDF"}.get(path.suffix, b"")
        assert path.read_bytes().startswith(start) and path.stat().st_size > 20
    assert len(pd.read_csv(tmp_path / "utd_mhad/figure_defense_hcn.csv")) == 5
    assert sorted(path.name for path in (tmp_path / "utd_mhad").iterdir()) == names  # no temporary file remains


def test_attacks_with_other_step_sizes_have_separate_figures(tmp_path: Path) -> None:
    runs = [budget(0.1, True, 0.5, 0.02, identity="a"), budget(0.2, True, 0.4, 0.0001, identity="b")]
    names = {path.stem for path in write_all(runs, tmp_path, "defense_budget")}
    assert names == {"figure_defense_hcn_a", "figure_defense_hcn_b"}

"""Figures: their numbers, and files that hold a picture."""

from pathlib import Path

import pandas as pd
import pytest
from samples import defended, transfer

from skeleton_adv.core.errors import RunError
from skeleton_adv.figures import write_all
from skeleton_adv.report.figures.curves import accuracy_by_budget, belongs_to_budget, belongs_to_matrix, transfer_matrix
from skeleton_adv.report.stats import Run


def budget(eps: float, adaptive: bool, accuracy: float) -> Run:
    run = defended(0.01, adaptive, accuracy)
    run.about["choices"]["attack"] = "pgd"
    run.about["settings"]["attack"] = {"eps": eps, "norm": "l2", "conf": 0.0}
    return Run(run.about, run.records.assign(l2=eps, control_share=0.25))


def test_numbers_behind_the_curves() -> None:
    runs = [budget(0.1, False, 0.8), budget(0.1, True, 0.5), budget(0.4, True, 0.0)]
    frame, _ = accuracy_by_budget(runs)
    assert frame["kind"].tolist() == ["adaptive", "adaptive", "clean", "noise", "noise", "noise", "unaware"]
    assert frame["accuracy"].tolist() == pytest.approx([0.5, 0.0, 0.9, 0.75, 0.75, 0.75, 0.8])
    assert frame["l2"].drop(2).tolist() == pytest.approx([0.1, 0.4, 0.1, 0.1, 0.4, 0.1])
    assert set(frame["sigma"]) == {0.01} and set(frame["eot"]) == {8}
    assert (frame["low"] <= frame["accuracy"]).all() and (frame["accuracy"] <= frame["high"]).all()


def test_sources_down_and_targets_across() -> None:
    runs = [transfer("agcn", 0.01), transfer("hcn", 0.01)]
    frame, figure = transfer_matrix(runs)
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["agcn s0", "hcn s0"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["hcn s1"]
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "75.0\n3/4", (1, 0): "75.0\n3/4"}
    assert frame["source"].tolist() == ["hcn s1"] * 2 and frame["target"].tolist() == ["agcn s0", "hcn s0"]
    assert frame["success_if_right"].tolist() == [0.75, 0.75]
    assert frame["success_if_right_hits"].tolist() == [3, 3] and frame["success_if_right_clips"].tolist() == [4, 4]


def test_networks_of_one_name_are_told_apart_and_other_runs_stay_out() -> None:
    again = transfer("hcn", 0.01)
    again.about["settings"]["checkpoint"] = "0123456789"
    frame, _ = transfer_matrix([transfer("hcn", 0.01), again])
    assert frame["target"].tolist() == ["hcn s0 (01234567)", "hcn s0 (None)"]
    twice = Run({**again.about, "identity": "def"}, again.records)
    with pytest.raises(RunError, match="runs abc and def are of the same two networks"):
        transfer_matrix([again, twice])
    assert not belongs_to_matrix(transfer("hcn", 0.01, targeted=True))
    other = budget(0.1, True, 0.5)
    other.about["choices"]["model@surrogate"] = "hcn"
    assert belongs_to_budget(budget(0.1, True, 0.5)) and not belongs_to_budget(other)


def test_a_picture_in_print_and_on_the_screen_and_its_numbers(tmp_path: Path) -> None:
    runs = [transfer("hcn", 0.1), transfer("hcn", 0.01), budget(0.1, True, 0.5), budget(0.1, False, 0.7)]
    paths = write_all(runs, [], tmp_path)
    names = sorted(path.name for path in paths)
    stems = ("figure_defense_hcn", "figure_transfer_beta0.01", "figure_transfer_beta0.1")
    assert names == [f"{stem}.{kind}" for stem in stems for kind in ("csv", "pdf", "png")]
    for path in paths:
        start = {".png": b"\x89PNG", ".pdf": b"%PDF"}.get(path.suffix, b"")
        assert path.read_bytes().startswith(start) and path.stat().st_size > 20
    assert len(pd.read_csv(tmp_path / "utd_mhad/figure_defense_hcn.csv")) == 5


def test_budgets_are_equal_only_at_one_length_of_step(tmp_path: Path) -> None:
    runs = [budget(0.1, True, 0.5), budget(0.2, True, 0.4)]
    for run, step in zip(runs, (0.02, 0.0001), strict=True):
        run.about["settings"]["attack"]["step"] = step
        run.about["identity"] = f"step{step}"
    names = {path.stem for path in write_all(runs, [], tmp_path)}
    assert names == {"figure_defense_hcn_step0.02", "figure_defense_hcn_step0.0001"}

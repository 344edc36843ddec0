"""What the screen shows: after a run, and by ``python -m skeleton_adv.tables`` and ``.figures``."""

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from samples import about, admm, certified, cw, six_rows, transfer, write

from skeleton_adv import figures, tables
from skeleton_adv.report.show import new_runs, show, show_new, shown
from skeleton_adv.report.tables import by_table

IMAGE = {"dataset": "street", "unit": "image", "stands_for": None, "stand_in": False}
Main = Callable[..., int]


@pytest.fixture
def main(monkeypatch: pytest.MonkeyPatch) -> Main:
    """Run a command; return its exit code."""

    def called(module: object, *arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        try:
            module.main()  # type: ignore[attr-defined]
        except SystemExit as end:
            return int(end.code or 0)
        return 0

    return called


def test_after_a_run_units_are_those_of_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The heading of millimetres used to be "rms ‰"."""
    admm(folder=tmp_path / "a"), admm(folder=tmp_path / "b", **IMAGE)
    tables.report([tmp_path / "a"], None, tmp_path / "out")
    assert "rms mm" in (shown := capsys.readouterr().out) and "‰" not in shown and "ℓ2 m" in shown
    tables.report([tmp_path / "b"], None, tmp_path / "out")
    assert "rms ‰" in (shown := capsys.readouterr().out) and "rms mm" not in shown and "metre" not in shown
    tables.report([tmp_path / "b", tmp_path / "a"], None, tmp_path / "out")
    assert "on street" in (shown := capsys.readouterr().out) and "on utd_mhad" in shown
    assert not (tmp_path / "out").exists()  # without an experiment nothing is written


def test_what_is_printed_is_returned_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [admm(rows=six_rows(falling=True)), certified(identity="b"), admm(identity="c", **IMAGE)]
    show_new(runs)
    text = new_runs(runs)
    assert capsys.readouterr().out == f"{text}\n"
    assert text.count("Attacks on") == 2 and text.count("Certificates on") == 1 and text.count("warning: ") == 1
    assert text.endswith("more steps may help")
    ((table, own),) = by_table(runs[:1])
    show(table, own, table.rows(own), wide=True)
    assert capsys.readouterr().out == shown(table, own, table.rows(own), wide=True) + "\n"
    assert new_runs([]) == ""


def test_after_a_run_success_is_over_all_clips_and_over_those_correct_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admm(folder=tmp_path / "a")
    tables.report([tmp_path / "a"], None, tmp_path)
    shown = capsys.readouterr().out
    for head, rate in (
        ("success  ", "66.7 [30.0, 90.3] (4/6)"),
        ("success if correct before", "75.0 [30.1, 95.4] (3/4)"),
        ("feasible success if correct before", "25.0 [4.6, 69.9] (1/4)"),
        ("feasible success  ", "33.3 [9.7, 70.0] (2/6)"),
    ):
        assert head in shown and rate in shown
    assert "records: " in shown and "target=None" not in shown and "differs" not in shown


def test_after_a_sweep_over_goals_no_missing_target_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    admm(folder=tmp_path / "a")
    admm(folder=tmp_path / "b", settings={"targeted": True, "target": "random"}, identity="def")
    tables.report([tmp_path / "a", tmp_path / "b"], None, tmp_path)
    shown = capsys.readouterr().out
    assert "differs" not in shown and "None" not in shown and "targeted, random" in shown


def test_after_certifying_the_screen_names_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certified(folder=tmp_path / "a")
    tables.report([tmp_path / "a"], None, tmp_path)
    shown = capsys.readouterr().out
    assert "on utd_mhad, a stand-in for the paper's NTU RGB+D" in " ".join(shown.split())
    assert "certificates.csv" in shown and "mean radius m" in shown


def test_signs_of_weakness_are_warnings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    admm(folder=tmp_path / "a", rows=six_rows(falling=True))
    tables.report([tmp_path / "a"], None, tmp_path)
    assert "warning: admm on hcn (abc): 6 of 2 failures" in capsys.readouterr().out


def test_an_experiment_has_its_own_table_or_one_of_all_its_runs(tmp_path: Path) -> None:
    admm(folder=tmp_path / "a"), cw(folder=tmp_path / "b", identity="b"), certified(folder=tmp_path / "c")
    folders, out = [tmp_path / name for name in "abc"], tmp_path / "out/utd_mhad"
    tables.report(folders[:2], "table3", tmp_path / "out")
    assert {path.stem for path in out.iterdir()} == {"table3", "table3_against_admm"}
    tables.report(folders[:2], "defense_budget", tmp_path / "out")
    assert len(pd.read_csv(out / "defense_budget.csv")) == 2
    assert (out / "defense_budget.md").read_text().startswith("# Experiment defense_budget, on utd_mhad")
    tables.report(folders[2:], "figure5", tmp_path / "out")
    assert (out / "certified.md").exists()


def test_an_unfinished_run_is_left_out_and_named(
    tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]
) -> None:
    """It used to prevent all other runs from being shown."""
    transfer("hcn", 0.1, folder=tmp_path / "runs/a")
    broken = write(tmp_path / "runs/b", about(identity="b"), six_rows())
    (broken / "run.json").unlink()
    for module, file in ((tables, "utd_mhad/table2.md"), (figures, "utd_mhad/figure_transfer_beta0.1.png")):
        out = tmp_path / module.__name__
        for flags in ([], ["--skip-unfinished"]):
            assert main(module, tmp_path / "runs", "--out", out, *flags) == 0
            text = capsys.readouterr().err
            assert str(broken) in text and text.count("\n") == 1 and (out / file).exists()
        assert main(module, tmp_path / "runs", "--out", out, "--strict") == 2
        text = capsys.readouterr().err
        assert str(broken) in text and "no run.json" in text and text.count("\n") == 1


def test_tables_are_shown_and_then_their_files(tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    admm(folder=tmp_path / "runs/a"), certified(folder=tmp_path / "runs/b")
    assert main(tables, tmp_path / "runs", "--out", tmp_path / "out") == 0
    shown = capsys.readouterr().out
    assert "Table 1: ADMM attack" in shown and "Certified accuracy" in shown and "success: paper" in shown
    assert shown.index("75.0 [30.1, 95.4] (3/4)") < shown.index("table1.md") < shown.index("table1.csv")
    assert "ΔK/K %" not in shown + (tmp_path / "out/utd_mhad/table1.md").read_text()
    assert main(tables, tmp_path / "runs", "--out", tmp_path / "out", "--wide") == 0
    assert "ΔK/K %" in capsys.readouterr().out and "ΔK/K %" in (tmp_path / "out/utd_mhad/table1.md").read_text()


@pytest.mark.parametrize("module", [tables, figures])
def test_nothing_to_show_and_damaged_runs_are_one_line(
    tmp_path: Path, module: object, main: Main, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(module, tmp_path / "nowhere") == 2
    assert "no finished run" in (text := capsys.readouterr().err) and text.count("\n") == 1
    (admm(folder=tmp_path / "runs/a").folder / "run.json").write_text("{}")  # type: ignore[operator]
    assert main(module, tmp_path / "runs", "--out", tmp_path / "out") == 2
    assert "run.json is damaged" in (text := capsys.readouterr().err) and text.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_figures_without_anything_to_draw(tmp_path: Path, main: Main, capsys: pytest.CaptureFixture[str]) -> None:
    """Every clip has the target's class, so none can be fooled."""
    aimed = {"targeted": True, "target": "wave"}
    admm(folder=tmp_path / "runs/a", rows=six_rows(target=1), settings=aimed)
    assert main(figures, tmp_path / "runs", "--out", tmp_path / "out") == 2
    assert "nothing to draw" in capsys.readouterr().err
    assert main(figures, tmp_path / "runs", "--clip", "x") == 2
    figures.report([tmp_path / "runs/a"], "figure3", tmp_path / "out")
    assert "no figure" in capsys.readouterr().out
    figures.report([tmp_path / "runs/a"], "table1", tmp_path / "out")
    assert not capsys.readouterr().out

"""Rows that survive a kill, and an identity that holds what it must."""

import json
import math
import threading
from pathlib import Path

import pytest
from samples import record

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.folder import COLUMNS, RunFolder, identity, provenance


def test_a_machine_without_git_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    facts = provenance("cpu")
    assert facts["git_commit"] is None and facts["git_dirty"] is None and facts["versions"]["torch"]


def test_identity_sees_every_setting_and_no_order() -> None:
    settings = {"attack": {"beta": 1.0, "lr": 0.1}, "seed": 0}
    assert identity(settings) == identity({"seed": 0, "attack": {"lr": 0.1, "beta": 1.0}})
    changed = [{**settings, "seed": 1}, {"attack": {"beta": 1.5, "lr": 0.1}, "seed": 0}, {**settings, "more": None}]
    assert len({identity(one) for one in (settings, *changed)}) == 4


def test_a_clip_that_comes_out_otherwise_is_told(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin()
    folder.append([record(0), record(1)])
    folder.compare([record(1), record(0), record(2)])
    with pytest.raises(RunError, match=r"clip_1 came out with adv_pred=9, its row .* says 2"):
        folder.compare([record(0), record(1, adv_pred=9)])
    with pytest.raises(RunError, match=r"clip_1 came out with adv_pred=-1, its row .* says 2"):
        folder.compare([record(1, adv_pred=-1, l2=math.nan)])
    with pytest.raises(RunError, match=r"clip_1 came out with l2=0.2, its row"):
        folder.compare([record(0), record(1, l2=0.2)])


def test_the_mark_of_an_end_stands_while_clips_are_kept_afterwards(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.begin()
    folder.append([record(0)])
    folder.end({"done": 1})
    assert folder.begin(withdraw=False) == {0} and folder.summary() == {"done": 1}
    assert folder.begin() == {0} and folder.summary() is None


def test_rows_are_appended_and_known(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with folder.locked():
        assert folder.begin() == set()
        folder.append([record(3), record(5)])
        assert folder.begin() == {3, 5} and folder.summary() is None
        folder.end({"done": 2})
    assert folder.summary() == {"done": 2}
    lines = (tmp_path / "run/records.csv").read_text().splitlines()
    assert lines[0].split(",") == list(COLUMNS) and len(lines) == 3


@pytest.mark.parametrize("cut", [1, 2, 30, 120])
def test_a_half_written_row_is_repaired(tmp_path: Path, cut: int) -> None:
    folder = RunFolder(tmp_path)
    with folder.locked():
        folder.begin()
        folder.append([record(0), record(1)])
        whole = (tmp_path / "records.csv").read_bytes()
        (tmp_path / "records.csv").write_bytes(whole[:-cut])
        assert folder.begin() == {0}
        folder.append([record(1)])
        assert (tmp_path / "records.csv").read_bytes() == whole


def test_a_new_beginning_withdraws_the_mark_of_an_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin()
    folder.end({"done": 0})
    folder.begin()
    assert folder.summary() is None


def test_foreign_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "records.csv").write_text("index,other\n0,1\n")
    with pytest.raises(RunError, match="delete the folder"):
        RunFolder(tmp_path).begin()


def test_a_second_process_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[str] = []
    held, free = threading.Event(), threading.Event()

    def first() -> None:
        with RunFolder(tmp_path).locked():
            held.set()
            free.wait(10)
            events.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    timer = threading.Timer(0.2, free.set)
    timer.start()
    with RunFolder(tmp_path).locked("busy: waiting"):
        events.append("second")
    thread.join()
    assert events == ["first", "second"] and "busy: waiting" in capsys.readouterr().out


def test_summary_is_never_half_written(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.begin()
    folder.end({"done": 1, "nested": {"a": [1, 2]}})
    assert json.loads((tmp_path / "run.json").read_text())["nested"] == {"a": [1, 2]}
    assert not list(tmp_path.glob("*.part"))

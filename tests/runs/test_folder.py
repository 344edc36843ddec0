"""Rows that survive a kill; rows of other runs are refused."""

import json
import math
import threading
from pathlib import Path
from typing import Any

import pytest

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import digest
from skeleton_adv.runs.folder import Row, RunFolder
from skeleton_adv.runs.schema import ATTACK, CERTIFICATE, ColumnKind, Columns, constraint_columns

COLUMNS: Columns = {**ATTACK.columns, **constraint_columns(["bone", "jerk"]), "iterations": "int"}
CLIPS = {number: f"clip_{number}" for number in range(10)}
VALUES: dict[ColumnKind, Any] = {"int": 2, "float": 0.125, "bool": True, "text": "word"}


def row(index: int, **changes: Any) -> Row:
    values = {name: VALUES[kind] for name, kind in COLUMNS.items()}
    return {**values, "index": index, "name": f"clip_{index}", **changes}


def begun(path: Path, *rows: Row) -> RunFolder:
    folder = RunFolder(path, ATTACK)
    folder.begin(COLUMNS, CLIPS)
    folder.append(rows)
    return folder


def begin_again(path: Path, columns: Columns = COLUMNS, clips: dict[int, str] = CLIPS) -> set[int]:
    return RunFolder(path, ATTACK).begin(columns, clips)


def test_a_clip_with_another_result_is_reported(tmp_path: Path) -> None:
    folder = begun(tmp_path / "run", row(0), row(1))
    folder.compare([row(1), row(0), row(2)])
    for changes, message in (
        ({"adv_pred": 9}, r"clip_1 now has adv_pred=9, but its row .* has 2"),
        ({"adv_pred": -1, "l2": math.nan}, r"clip_1 now has adv_pred=-1, but its row .* has 2"),
        ({"l2": 0.2}, r"clip_1 now has l2=0.2, but its row"),
    ):
        with pytest.raises(RunError, match=message):
            folder.compare([row(0), row(1, **changes)])


def test_run_json_remains_while_clips_are_saved_afterwards(tmp_path: Path) -> None:
    folder = begun(tmp_path, row(0))
    folder.end({"done": 1})
    assert folder.begin(COLUMNS, CLIPS, withdraw=False) == {0} and folder.summary() is not None
    assert folder.begin(COLUMNS, CLIPS) == {0} and folder.summary() is None


def test_rows_are_appended_and_found(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run", ATTACK)
    with folder.locked():
        assert folder.begin(COLUMNS, CLIPS) == set()
        folder.append([row(3), row(5)])
        assert folder.begin(COLUMNS, CLIPS) == {3, 5} and folder.summary() is None
        folder.end({"done": 2})
    about = folder.summary()
    assert about is not None and about["done"] == 2 and about["kind"] == "attack" and about["schema"] == ATTACK.schema
    assert about["rows"] == {"file": "records.csv", "digest": digest(tmp_path / "run/records.csv")}
    lines = (tmp_path / "run/records.csv").read_text().splitlines()
    assert lines[0].split(",") == list(about["columns"]) == list(COLUMNS) and len(lines) == 3
    assert about["columns"] == json.loads((tmp_path / "run/begun.json").read_text())["columns"] == COLUMNS


@pytest.mark.parametrize("cut", [1, 2, 30, 120])
def test_a_half_written_row_is_repaired(tmp_path: Path, cut: int) -> None:
    folder = begun(tmp_path, row(0), row(1))
    whole = (tmp_path / "records.csv").read_bytes()
    (tmp_path / "records.csv").write_bytes(whole[:-cut])
    assert folder.begin(COLUMNS, CLIPS) == {0}
    folder.append([row(1)])
    assert (tmp_path / "records.csv").read_bytes() == whole


def test_a_changed_row_of_a_finished_run_is_reported(tmp_path: Path) -> None:
    folder = begun(tmp_path, row(0), row(1))
    folder.end({"done": 2})
    whole = (tmp_path / "records.csv").read_bytes()
    for place in range(0, len(whole), 7):
        (tmp_path / "records.csv").write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(RunError, match=r"records\.csv was changed after the run ended: delete the folder"):
            folder.summary()
    (tmp_path / "records.csv").write_bytes(whole)
    assert folder.summary() is not None


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("clip_1", "clip_7", r"row for clip 1, 'clip_7'"),
        ("1,clip_1", "77,clip_77", r"row for clip 77"),
        ("1,clip_1", "0,clip_0", "contains a clip twice"),
        ("1,clip_1,", "1,", "row of [0-9]+ cells"),
        ("1,clip_1,2,", "1,clip_1,two,", "label='two'"),
        ("1,clip_1,2,", "1,clip_1,2.5,", "label='2.5'"),
        ("1,clip_1,2,", "1,clip_1,,", "label=''"),
        ("index,name", "number,name", "from another version"),
    ],
)
def test_rows_of_other_clips_and_damaged_rows_are_refused(
    tmp_path: Path, before: str, after: str, message: str
) -> None:
    begun(tmp_path, row(0), row(1))
    path = tmp_path / "records.csv"
    path.write_text(path.read_text().replace(before, after, 1))
    with pytest.raises(RunError, match=message) as caught:
        begin_again(tmp_path)
    assert str(path) in str(caught.value) and "delete the folder" in str(caught.value)


def test_a_run_resumes_with_its_original_columns(tmp_path: Path) -> None:
    begun(tmp_path, row(0))
    folder = RunFolder(tmp_path, ATTACK)
    assert folder.begin({**COLUMNS, "later": "float"}, CLIPS) == {0}
    folder.append([row(1, later=1.0)])
    shorter = {name: kind for name, kind in COLUMNS.items() if name != "iterations"}
    assert begin_again(tmp_path, shorter) == {0, 1}
    folder.append([{name: value for name, value in row(2).items() if name != "iterations"}])
    lines = (tmp_path / "records.csv").read_text().splitlines()
    assert "later" not in lines[0] and [line.count(",") for line in lines] == [len(COLUMNS) - 1] * 4
    assert begin_again(tmp_path) == {0, 1, 2} and lines[3].endswith(",")


def test_a_run_of_an_older_version_resumes_with_its_order_of_columns(tmp_path: Path) -> None:
    begun(tmp_path, row(0))
    old = [*reversed(COLUMNS)]
    (tmp_path / "records.csv").write_text(",".join(old) + "\n" + ",".join(str(row(0)[name]) for name in old) + "\n")
    (tmp_path / "begun.json").write_text('{"with": []}')
    folder = RunFolder(tmp_path, ATTACK)
    assert folder.begin(COLUMNS, CLIPS) == {0}
    folder.append([row(1)])
    assert begin_again(tmp_path) == {0, 1}
    assert (tmp_path / "records.csv").read_text().splitlines()[2].endswith(",1")  # the index comes last there


@pytest.mark.parametrize("content", ["{}", "[]", '{"with": 3}', '{"with": [], "columns": 3}', "{", "\udcff"])
def test_a_damaged_begun_json_gives_one_line(tmp_path: Path, content: str) -> None:
    begun(tmp_path, row(0))
    (tmp_path / "begun.json").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(RunError, match=r"begun\.json is damaged"):
        begin_again(tmp_path)


def test_versions_and_machines_are_recorded(tmp_path: Path) -> None:
    folder = begun(tmp_path, row(0))
    assert folder.note({"device": "cpu"}) == [{"device": "cpu"}]
    assert folder.note({"device": "cpu"}) == [{"device": "cpu"}]
    assert folder.note({"device": "cuda"}) == [{"device": "cpu"}, {"device": "cuda"}]
    assert begin_again(tmp_path) == {0}


def test_certificates_have_their_own_rows(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path, CERTIFICATE)
    folder.begin(CERTIFICATE.columns, CLIPS)
    folder.append(
        [{**{name: VALUES[kind] for name, kind in CERTIFICATE.columns.items()}, "index": 1, "name": "clip_1"}]
    )
    folder.end({"done": 1})
    assert folder.begin(CERTIFICATE.columns, CLIPS) == {1}
    assert (tmp_path / "certificates.csv").exists() and not (tmp_path / "records.csv").exists()


def test_a_second_process_waits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events: list[str] = []
    held, free = threading.Event(), threading.Event()

    def first() -> None:
        with RunFolder(tmp_path, ATTACK).locked():
            held.set()
            free.wait(10)
            events.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    assert held.wait(10)
    timer = threading.Timer(0.2, free.set)
    timer.start()
    with RunFolder(tmp_path, ATTACK).locked("busy: waiting"):
        events.append("second")
    thread.join()
    assert events == ["first", "second"] and "busy: waiting" in capsys.readouterr().out


def test_a_run_without_rows_resumes_with_the_current_columns(tmp_path: Path) -> None:
    RunFolder(tmp_path, ATTACK).begin(COLUMNS, CLIPS)
    (tmp_path / "records.csv").unlink()
    more = {**COLUMNS, "more": "float"}
    assert begin_again(tmp_path, more) == set() == begin_again(tmp_path, more)


def test_a_run_json_without_a_count_is_unfinished(tmp_path: Path) -> None:
    folder = begun(tmp_path, row(0))
    folder.end({})
    assert folder.summary() is None and folder.begin(COLUMNS, CLIPS) == {0}

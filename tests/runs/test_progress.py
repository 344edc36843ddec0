"""The progress of runs and the costs of jobs, read from rows; and the page of ``python -m skeleton_adv.status``."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from samples import about, six_rows, write

from skeleton_adv import status
from skeleton_adv.report.status import page
from skeleton_adv.runs.costs import JUDGING, Costs, Work
from skeleton_adv.runs.progress import progress_below, progress_of

SWEEP = {"params": {"attack.beta": "0.1,1,10"}, "typed": ["attack.beta"], "jobs": 3}
COMMAND = "python -m skeleton_adv attack=admm attack.beta={}"


def made(folder: Path, beta: float, seconds: float, **facts: Any) -> Path:
    """A finished run of six clips that took ``seconds`` per clip."""
    known = {"sweep": SWEEP, "device": "cpu", "command": COMMAND.format(beta), **facts}
    return write(folder, about(settings={"attack": {"beta": beta}}, **known), six_rows(seconds=seconds))


def unfinished(folder: Path, rows: int, **doing: Any) -> Path:
    """Remove the end of a run: its last rows, a part of a row, and its ``run.json``."""
    run = json.loads((folder / "run.json").read_text())
    lines = (folder / "records.csv").read_text().splitlines(keepends=True)
    (folder / "records.csv").write_text("".join(lines[: rows + 1]) + "5,clip_")
    (folder / "run.json").unlink()
    known = {name: run.get(name) for name in ("command", "sweep", "choices", "dataset", "num_frames", "device")}
    begun = json.loads((folder / "begun.json").read_text()) | {"doing": known | {"clips": 6, "size": 2, **doing}}
    (folder / "begun.json").write_text(json.dumps(begun))
    return folder


def test_progress_is_read_from_the_rows(tmp_path: Path) -> None:
    whole = progress_of(made(tmp_path / "a", 1.0, 0.5))
    assert whole is not None and whole.finished and whole.seconds == 3.0 and whole.per_clip == 0.5
    assert (whole.clips, whole.left, whole.forwards) == (6, 0, 3.0)
    part = progress_of(unfinished(made(tmp_path / "b", 1.0, 0.5), 4, passes=10))
    assert part is not None and not part.finished and part.done == {0, 1, 2, 3} and part.left == 2
    assert progress_of(tmp_path) is None
    (tmp_path / "c").mkdir()
    (tmp_path / "c/records.csv").write_text("index,seconds\nx,y\n")
    assert [one.folder.name for one in progress_below(tmp_path)] == ["a", "b"]  # c is damaged


def test_costs_are_those_of_similar_runs(tmp_path: Path) -> None:
    made(tmp_path / "a", 1.0, 0.5)
    made(tmp_path / "b", 10.0, 1.5)
    runs = progress_below(tmp_path)
    costs, facts = Costs(runs), runs[0].facts
    assert costs.per_clip(Work.of("attack", facts, None)) == (1.0, 2)
    twice = Work.of("attack", facts, 2 * (3 + JUDGING))
    assert costs.per_clip(twice) == (2.0, 2)  # twice as many passes
    other = {**facts, "choices": {**facts["choices"], "attack": "pgd"}}
    assert costs.per_clip(Work.of("attack", other, 7)) == (pytest.approx(1.0), 2)  # by its passes
    assert costs.per_clip(Work.of("attack", other, None)) is None
    for change in ({"dataset": "hdm05"}, {"num_frames": 64}, {"device": "cuda"}):
        assert costs.per_clip(Work.of("attack", {**facts, **change}, 7)) is None
    assert costs.per_clip(Work.of("certificate", other, 7)) is None


def test_the_page_shows_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path / "done", 1.0, 30.0)
    half = unfinished(made(tmp_path / "half", 10.0, 60.0), 2, passes=8)
    now = half.joinpath("records.csv").stat().st_mtime
    text = page(tmp_path, now + 60)
    lines = {line.split()[0]: " ".join(line.split()) for line in text.splitlines() if line}
    assert lines["done"].startswith("done done 6 of 6")
    assert lines["half"].startswith("half partial 2 of 6 16 about 4 min left") and "60 s ago" in lines["half"]
    assert "attack.beta=0.1,1,10: 1 of 3 jobs done, 1 partial, 1 missing (about 4 min)" in text
    assert text.splitlines()[-1].startswith("1 done, 1 partial, about 4 min")
    assert "partial, idle" in page(tmp_path, now + 3600)


def test_status_prints_once_where_there_is_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path / "done", 1.0, 30.0)
    monkeypatch.setattr("sys.argv", ["status", str(tmp_path)])
    status.main()
    assert "1 done, 0 partial" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["status", os.devnull])
    with pytest.raises(SystemExit) as ended:
        status.main()
    assert ended.value.code == 2 and capsys.readouterr().err.count("\n") == 1

"""``runtime.dry_run=true``: what is done, partial and missing, with the passes and the time that are left."""

import re
from contextlib import suppress
from pathlib import Path

import pytest

from skeleton_adv import __main__, tasks
from skeleton_adv.launch import dry_run
from skeleton_adv.runs.costs import JUDGING


def listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> list[list[str]]:
    """The cells of the list that a command prints."""
    monkeypatch.setattr("sys.argv", ["skeleton_adv", *words, "runtime.dry_run=true"])
    with suppress(SystemExit):  # a job that cannot run
        __main__.main()
    lines = capsys.readouterr().out.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("---"))
    return [re.split(r"\s{2,}", line.strip()) for line in lines[start + 1 :] if line] + [[lines[start - 1]]]


def test_jobs_are_listed_and_nothing_runs(
    place: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The time is from a probe where nothing has run, otherwise from the rows that exist."""
    folder, arguments = place
    monkeypatch.chdir(folder)
    sweep = [*arguments, f"runtime.output_dir={tmp_path}", "runtime.limit=6", "runtime.device=cpu"]
    sweep += ["-m", "attack.beta=0.1,1,-1"]
    unprepared = listed(monkeypatch, capsys, *sweep, f"runtime.cache_dir={tmp_path}/none")
    assert [row[:2] for row in unprepared[:3]] == [
        ["attack.beta=0.1", "missing"],
        ["attack.beta=1", "missing"],
        ["attack.beta=-1", "cannot run"],
    ]
    assert "not prepared" in unprepared[0][-1] and not [*tmp_path.iterdir()]

    monkeypatch.setattr(dry_run, "seconds_per_pass", lambda job, plan, prepared: 10.0)
    monkeypatch.setattr("sys.argv", ["skeleton_adv", *sweep[:-2], "attack.beta=1", "runtime.limit=2"])
    __main__.main()
    (records,) = tmp_path.rglob("records.csv")
    before = records.read_bytes()
    capsys.readouterr()
    monkeypatch.setattr(tasks, "run", None)
    short, done = listed(monkeypatch, capsys, *sweep, "runtime.limit=2")[:2]
    passes = 5 * 2 + 1 + JUDGING
    assert short[:4] == ["attack.beta=0.1", "missing", "0 of 2", str(passes)] and "similar run" in short[-1]
    assert done == ["attack.beta=1", "done", "2 of 2"]
    first, partial, refused, total = listed(monkeypatch, capsys, *sweep)[:4]
    assert first[:4] == ["attack.beta=0.1", "missing", "0 of 6", str(3 * passes)]
    assert partial[:4] == ["attack.beta=1", "partial", "2 of 6", str(2 * passes)] and partial[-1] == "its own rows"
    assert refused[1] == "cannot run" and "1 missing, 1 partial, 1 cannot run" in total[0]
    fresh = listed(monkeypatch, capsys, *sweep, f"runtime.output_dir={tmp_path}/other", "attack.beta=1,10")
    assert fresh[0][3:] == [str(3 * passes), f"about {30 * passes / 60:.0f} min", "a probe, 1e+04 ms per pass"]
    assert records.read_bytes() == before

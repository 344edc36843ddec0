"""Sweeps: every job is checked before the first starts, a failing job stops nothing, and the end lists what failed."""

from pathlib import Path
from typing import Any

import pytest

from skeleton_adv import __main__, tasks
from skeleton_adv.command.job import Job
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import RunError, SettingError

SHORT = ["attack=pgd", "attack.steps=1", "batch_size=2", "runtime.limit=2", "runtime.device=cpu"]


def swept(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The exit code of a command in this process."""
    monkeypatch.setattr("sys.argv", ["skeleton_adv", *words])
    try:
        __main__.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def test_a_sweep_goes_on_past_failing_jobs_and_lists_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bad value is known before the first job starts; a mistake and a bug during a run stop only their own job."""
    monkeypatch.chdir(tmp_path)
    started: list[tuple[int, str]] = []

    def run(job: Job) -> None:
        seed = job.settings["seed"]
        started.append((seed, capsys.readouterr().err))
        if seed == 1:
            raise RunError("the records are damaged: delete them")
        if seed == 2:
            raise RuntimeError("a bug\nin two lines")

    monkeypatch.setattr(tasks, "run", run)
    assert swept(monkeypatch, "-m", "seed=0,1,-1,2,3", *SHORT) == 2
    shown = capsys.readouterr()
    assert [seed for seed, _ in started] == [0, 1, 2, 3]
    assert "seed=-1 is out of range" in started[0][1]  # before the first job
    assert "damaged" in started[2][1] and "Traceback" in started[3][1]  # each failure as soon as it happens
    listed = shown.err[shown.err.index("3 of 5 jobs failed:") :].splitlines()[1:]
    assert [line.split(":")[0].strip() for line in listed] == ["seed=1", "seed=-1", "seed=2"]
    assert "delete them" in listed[0] and listed[2].endswith("RuntimeError: a bug in two lines")


def test_a_setting_without_effect_is_found_before_the_first_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run: list[Any] = []
    monkeypatch.setattr(tasks, "run", run.append)
    assert swept(monkeypatch, "-m", "adaptive=true,false", *SHORT) == 2
    assert len(run) == 1 and "1 of 2 jobs failed" in capsys.readouterr().err


def test_a_bug_in_a_single_run_has_its_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def run(job: Job) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(tasks, "run", run)
    with pytest.raises(ZeroDivisionError):
        swept(monkeypatch, *SHORT)


def test_jobs_of_a_sweep() -> None:
    """The experiment's values come first, typed ones replace them, and labels name what differs."""
    sweep = Sweep.of(["experiment=table1", "attack.beta=0.5,2", "seed=3"])
    assert sweep.several and len(sweep.jobs) == 4
    assert sweep.jobs[1] == ("targeted=False", "attack.beta=2", "experiment=table1", "seed=3")
    assert sweep.label(sweep.jobs[1]) == "targeted=False attack.beta=2"
    job = sweep.job(sweep.jobs[1], tasks.find)
    assert job.sweep and job.sweep["jobs"] == 4 and job.settings["attack"]["beta"] == 2
    assert job.choices["experiment"] == "table1" and "attack.beta=2" in job.command
    single = Sweep.of(["seed=3"])
    assert not single.several and single.jobs == [("seed=3",)] and single.job(("seed=3",), tasks.find).sweep is None


@pytest.mark.parametrize("word", ["hydra/launcher=basic", "hydra.verbose=true", "hydra.job.name=x"])
def test_settings_of_hydra_without_effect_are_refused(word: str) -> None:
    with pytest.raises(SettingError):
        Sweep.of([word])

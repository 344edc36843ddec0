"""Launchers: jobs side by side, of which each may die alone, and the parameters of Slurm jobs."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jobs import job_of

from skeleton_adv.command.job import Outcome, Words
from skeleton_adv.command.sweep import Sweep
from skeleton_adv.core.errors import SettingError
from skeleton_adv.launch import processes, slurm
from skeleton_adv.launch.logs import new_folder
from skeleton_adv.launch.processes import Processes
from skeleton_adv.launch.slurm import Slurm
from skeleton_adv.launch.work import Work

SWEEP = Sweep(["-m", "seed=0,1,2,3"], [(f"seed={seed}",) for seed in range(4)], True, {})


class Dying:
    """Work that kills its process, fails or tells where it ran; sent by value, because tests are no package."""

    def __init__(self, sweep: Sweep, threads: int, log: Path) -> None:
        self.threads = threads

    def __call__(self, words: Words) -> Outcome:
        if words == ("seed=1",):
            os.kill(os.getpid(), signal.SIGKILL)
        if words == ("seed=2",):
            return Outcome(words, error="as asked")
        return Outcome(words, folder=Path(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']}"))


@pytest.mark.slow
def test_a_process_that_dies_takes_only_its_own_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    monkeypatch.setattr(processes, "Work", Dying)
    ended = Processes(at_once=2, threads=3, logs=str(tmp_path)).launch(SWEEP, SWEEP.jobs)
    assert [one.words for one in ended] == SWEEP.jobs
    assert "SIGKILL" in str(ended[1].error) and ended[2].error == "as asked"
    places = [str(one.folder).split() for one in (ended[0], ended[3])]
    assert places[0][0] != places[1][0] != str(os.getpid()) and {threads for _, threads in places} == {"3"}
    shown = capsys.readouterr().err
    assert "4 jobs, 2 at once with 3 threads each" in shown and "4 of 4: " in shown and "failed: seed=1" in shown


def test_each_place_has_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with (places := processes._Places(3, 2)).one() as a, places.one() as b, places.one() as c:
        assert [place["CUDA_VISIBLE_DEVICES"] for place in (a, b, c)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    with processes._Places(1, 2).one() as place:
        assert place == {"CUDA_VISIBLE_DEVICES": "5"}
    with processes._Places(1, 0).one() as place:
        assert place == {}


def test_launchers_are_options_and_leave_a_run_as_it_is() -> None:
    plain, beside = job_of(["seed=1"]), job_of(["seed=1", "launcher=joblib", "launcher.threads=2"])
    assert plain.launcher is None and beside.launcher == Processes(threads=2)
    cluster = job_of(
        ["seed=1", "launcher=slurm", "launcher.partition=gpu", "launcher.extra={constraint:a100}"]
    ).launcher
    assert cluster == Slurm(partition="gpu", extra={"constraint": "a100"})
    assert plain.command == beside.command and plain.choices == beside.choices


@pytest.mark.parametrize("word", ["at_once=0", "threads=0", "logs=3", "partition=x"])
def test_wrong_settings_of_a_launcher_are_refused(word: str) -> None:
    with pytest.raises(SettingError):
        job_of(["launcher=joblib", f"launcher.{word}"])


@pytest.mark.parametrize("name", ["array", "wrap", "output", "x y", "--x"])
def test_options_of_sbatch_that_the_program_sets_are_refused(name: str) -> None:
    with pytest.raises(SettingError):
        Slurm(extra={name: 1})


def test_slurm_jobs_have_sane_parameters() -> None:
    submitit = pytest.importorskip("submitit")
    from submitit.slurm.slurm import _make_sbatch_string

    assert submitit
    text = _make_sbatch_string("run", "/tmp/logs", **Slurm(account="me", extra={"nice": 5})._parameters(), map_count=6)
    for line in ("--gpus-per-node=1", "--cpus-per-task=4", "--mem=16384MB", "--time=1440", "--requeue", "--nice=5"):
        assert f"#SBATCH {line}\n" in text
    assert "--array=0-5%6" in text and "--signal=USR2@120" in text and "--account=me" in text
    assert "partition" not in text and "gpus" not in _make_sbatch_string("run", "/tmp", **Slurm(gpus=0)._parameters())


def test_a_job_that_the_queue_forgets_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also without accounting, where submitit would wait for ever; a job that is requeued is waited for."""
    listed = iter([{"7_0", "7_1"}, {"7_1"}, None, {"7_0"}, set(), set(), set(), set()])
    monkeypatch.setattr(slurm, "_queued", lambda number: next(listed))
    monkeypatch.setattr(slurm, "POLL", 0.0)
    done = tmp_path / "done"
    done.touch()

    def job(number: int, path: Path) -> Any:
        watcher = SimpleNamespace(get_state=lambda job_id, mode: "UNKNOWN")
        paths = SimpleNamespace(result_pickle=path, stdout=f"{number}.out")
        result = Outcome(SWEEP.jobs[number], folder=tmp_path)
        return SimpleNamespace(job_id=f"7_{number}", paths=paths, watcher=watcher, result=lambda: result)

    jobs = {SWEEP.jobs[0]: job(0, tmp_path / "no"), SWEEP.jobs[1]: job(1, done)}
    lost, kept = slurm._waited(SWEEP, jobs)
    assert "it was killed" in str(lost.error) and "0.out" in str(lost.error) and kept.folder == tmp_path
    assert next(listed) == set()  # it took three looks in a row


def test_the_queue_is_read_without_its_finished_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(code: int, out: str = "", err: str = "") -> Any:
        return lambda *_, **__: subprocess.CompletedProcess([], code, out, err)

    monkeypatch.setattr(subprocess, "run", answer(0, "7_0 RUNNING\n7_1 COMPLETED\n7_2 PENDING\n7_3 REQUEUED\n"))
    assert slurm._queued("7") == {"7_0", "7_2", "7_3"}
    monkeypatch.setattr(subprocess, "run", answer(1, err="slurm_load_jobs error: Invalid job id specified"))
    assert slurm._queued("7") == set()
    monkeypatch.setattr(subprocess, "run", answer(1, err="Unable to contact slurm controller"))
    assert slurm._queued("7") is None


def test_folders_of_logs_are_never_shared(tmp_path: Path) -> None:
    first = new_folder(tmp_path)
    assert first.is_dir() and first.parent == tmp_path
    with pytest.raises(FileExistsError):
        first.mkdir()


def test_work_prints_to_its_log(tmp_path: Path) -> None:
    """In another process, because it redirects the whole process."""
    code = "from pathlib import Path; from skeleton_adv.launch.work import _print_to; "
    code += f"_print_to(Path({str(tmp_path)!r}, 'a', 'b')); print('x')"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
    assert (tmp_path / "a/b").read_text() == "x\n" and Work(SWEEP, 1).log is None

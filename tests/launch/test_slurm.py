"""A sweep on a real Slurm cluster of one node: ``make test-slurm`` starts one and runs this test.

Six jobs: one raises, one is killed, one is preempted by a job of another partition, requeued by Slurm, and resumes.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(shutil.which("sinfo") is None, reason="requires Slurm: make test-slurm"),
]
ROOT = Path(__file__).parents[2]
SECONDS = 1200
MODES = ("calm", "raise", "kill", "soft", "still", "preempted")
MINE = """import os, signal, time
import torch
from skeleton_adv.attacks import AttackResult, needs

@needs("none")
def attack(model, batch, *, targeted: bool = False, mode: str = "calm") -> AttackResult:
    if mode == "raise":
        raise RuntimeError("as asked")
    if mode == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if mode == "preempted":
        time.sleep(4)
    return AttackResult(batch.x + 0.01 * batch.movable, torch.zeros(len(batch), dtype=torch.bool))
"""
ON_SLURM = ["launcher=slurm", "launcher.gpus=0", "launcher.cpus=1", "launcher.mem_gb=1", "launcher.partition=usual"]


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """A folder with an attack that fails on request."""
    (tmp_path / "my_conf/attack").mkdir(parents=True)
    (tmp_path / "my_conf/attack/mine.yaml").write_text("# Mine\n_target_: mine.attack\n_partial_: true\nmode: calm\n")
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


def wait_for(what: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    ends = time.monotonic() + SECONDS / 2
    while not what():
        assert process.poll() is None and time.monotonic() < ends
        time.sleep(0.5)


def ended(root: Path) -> int:
    """How many jobs have written what became of them, or have been killed."""
    return len([*root.glob("outputs/logs/*/*_result.pkl")]) + 1


def rows_of(root: Path, mode: str) -> Path | None:
    """The rows of the run of a mode, as soon as it has begun."""
    for begun in root.glob("outputs/runs/**/begun.json"):
        if f"attack.mode={mode}" in json.loads(begun.read_text()).get("doing", {}).get("command", ""):
            return begun.with_name("records.csv")
    return None


def test_a_sweep_survives_errors_kills_and_preemption(desk: Path) -> None:
    words = ["--config-dir", "my_conf", "trust=mine", "attack=mine", "batch_size=2", "runtime.limit=20"]
    words += [f"attack.mode={','.join(MODES)}", "runtime.device=cpu", "-m"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "skeleton_adv", *words, *ON_SLURM]
    with open(desk / "out", "w") as out, open(desk / "err", "w") as err:
        process = subprocess.Popen(command, cwd=desk, env=environment, stdout=out, stderr=err, text=True)

    def half_way() -> bool:
        path = rows_of(desk, "preempted")
        return ended(desk) >= 5 and path is not None and len(path.read_text().splitlines()) > 4

    wait_for(half_way, process)
    path = rows_of(desk, "preempted")
    assert path is not None
    cpus = subprocess.run(["sinfo", "-h", "-o", "%c"], capture_output=True, text=True, check=True).stdout.split()[0]
    urgent = ["srun", "--partition=urgent", f"--cpus-per-task={cpus}", "sleep", "1"]
    subprocess.run(urgent, check=True, timeout=SECONDS)
    before = path.read_text()  # Slurm has stopped the job to make room
    assert not (path.parent / "run.json").exists()
    assert process.wait(SECONDS) == 2, (desk / "err").read_text()

    shown = (desk / "err").read_text()
    listed = shown[shown.index("2 of 6 jobs failed:") :]
    assert "attack.mode=raise: RuntimeError: as asked" in listed and "attack.mode=kill: it was killed" in listed
    assert len([*desk.glob("outputs/runs/**/run.json")]) == 4 and "preempted" in (desk / "out").read_text()
    assert path.read_text().startswith(before)  # it resumed: its first rows, with their times, are the same
    calm = rows_of(desk, "calm")
    assert calm is not None
    frames = [
        pd.read_csv(each).drop(columns="seconds").sort_values("index", ignore_index=True) for each in (calm, path)
    ]
    pd.testing.assert_frame_equal(*frames)
    (log,) = (each for each in desk.glob("outputs/logs/*/*_5_*_log.out"))
    assert log.read_text().count("Starting with") == 2  # in two lives

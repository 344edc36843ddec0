"""``task=gap`` from the command line: rows, resumption, what changes a run, and what is refused."""

from pathlib import Path

import pandas as pd
import pytest
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.store import prepare
from skeleton_adv.runs.load import load_run
from skeleton_adv.tasks import gap

FEW = ["task=gap", "eot=2", "runtime.device=cpu"]
FEW += [f"smoothing.{name}" for name in ("n0=10", "n=20", "clips=2", "at_once=10", "sigma=0.1")]
BONES = ["constraint=bone10", "attack=bone_length", "smoothing.space=bones", "tolerance=0.5", "attack.steps=2"]
YAW = ["constraint=yaw10", "attack=yaw", "smoothing.space=yaw", "attack.angles=1", "attack.halvings=0"]


def job(place: tuple[Path, list[str]], folder: Path, *more: str) -> Job:
    own = [*place[1][:3], f"model.checkpoint={place[0] / 'small.safetensors'}"]
    return job_of([*own, *FEW, f"runtime.output_dir={folder}", f"runtime.cache_dir={place[0] / 'cache'}", *more])


@pytest.mark.parametrize("words", [["attack.steps=2"], BONES, YAW], ids=["paper", "bones", "yaw"])
def test_a_run_has_a_verdict_for_each_clip_and_resumes(
    words: list[str], place: tuple[Path, list[str]], tmp_path: Path
) -> None:
    first = tasks.run(job(place, tmp_path, *words, "runtime.limit=2"))
    assert first is not None
    before = pd.read_csv(first / "gap.csv")
    assert tasks.run(job(place, tmp_path, *words, "runtime.limit=3")) == first
    run = load_run(first)
    assert run is not None and (run.kind, run.done, run.access, run.randomised) == ("gap", 3, "adaptive", True)
    after = pd.read_csv(first / "gap.csv")
    assert len(before) == 2 and len(after) == 3 and after["seconds"][:2].tolist() == before["seconds"].tolist()
    assert after["feasible"].all() and (after["length"] <= after["bound"] * (1 + 1e-5)).all()
    assert not (after["attacked"] & after["certified"]).any()
    assert {*after["verdict"]} <= {"wrong", "certified", "attacked", "abstains", "unknown"}


def test_runs_of_a_sweep_share_certificates_and_differ_in_the_tolerance(
    place: tuple[Path, list[str]], tmp_path: Path
) -> None:
    one, other = (job(place, tmp_path, *BONES, f"tolerance={value}") for value in (0.1, 0.2))
    prepared = prepare(one.dataset, place[0] / "cache", lambda clips, total: clips, 1)
    keys = set()
    for made in (one, other, job(place, tmp_path, *BONES, "tolerance=0.1", "attack.factor_eps=0.3")):
        assert isinstance(made.task, gap.Task)
        keys.add(made.task.plan(made, prepared).identity)
        limit = made.task.limits["bone_factor"]
        assert vars(limit)["eps"] == pytest.approx(0.1 * made.task.tolerance)
    assert len(keys) == 2  # the budget of the attack is the limit


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["attack=pgd"], "attack=pgd does not stay within constraint=paper"),
        (["attack=corruption_jitter"], "does not use the victim's scores"),
        (["attack=universal"], "is fitted on training clips"),
        (["smoothing.space=bones"], "smoothing.space=bones certifies no clip within constraint=paper"),
        ([*YAW, "smoothing.up=z"], "smoothing.up=z is not the axis of constraint=yaw10, y"),
        ([*BONES, "tolerance=10"], "tolerance=10: constraint.bone_factor.eps=1.0 is out of range"),
        (["smoothing.n=5"], "smoothing.n=5 draws certify nothing"),
    ],
)
def test_settings_without_a_meaning_are_refused(
    words: list[str], message: str, place: tuple[Path, list[str]], tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=message):
        tasks.run(job(place, tmp_path, *words))

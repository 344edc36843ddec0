"""The Python API gives the rows of the command line for the same settings, bit for bit."""

from pathlib import Path
from typing import Any

import pytest
from jobs import job_of

import skeleton_adv as sa
from skeleton_adv import tasks
from skeleton_adv.runs.load import Run, load_run

DATA = ["dataset=synthetic_cs", "dataset.num_frames=32", "dataset.num_actions=49", "dataset.num_persons=1"]
FEW = ["attack.steps=2", "batch_size=4", "runtime.limit=4"]


def on_the_command_line(words: list[str], out: Path) -> Run:
    folder = tasks.run(job_of([*words, f"runtime.output_dir={out}"]))
    assert folder is not None
    run = load_run(folder)
    assert run is not None
    return run


def same(ours: Run, theirs: Run) -> None:
    assert ours.identity == theirs.identity and ours.command == theirs.command
    assert ours.settings == theirs.settings and ours.choices == theirs.choices
    assert ours.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))


@pytest.fixture(scope="module")
def hcn() -> sa.Victim:
    return sa.load_victim("hcn", dataset="synthetic_cs", num_frames=32, overrides=DATA[2:])


@pytest.fixture(scope="module")
def motion() -> sa.Clips:
    return sa.load_clips("synthetic_cs", limit=4, num_actions=49, num_persons=1)


CALLS: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"targeted": True, "target": "least_likely", "seed": 3}, ["targeted=true", "target=least_likely", "seed=3"]),
    ({"defense": "noise_filter", "overrides": ["judgements=2"]}, ["defense=noise_filter", "judgements=2"]),
    ({"defense": "temporal_filter", "adaptive": False}, ["defense=temporal_filter", "adaptive=false"]),
    ({"eps": 0.02, "norm": "l2"}, ["attack.eps=0.02", "attack.norm=l2"]),
]


@pytest.mark.cases(2)
@pytest.mark.parametrize(("settings", "words"), CALLS)
def test_an_attack(
    settings: dict[str, Any], words: list[str], hcn: sa.Victim, motion: sa.Clips, tmp_path: Path
) -> None:
    result = sa.attack(hcn, motion, "pgd", steps=2, batch_size=4, device="cpu", **settings)
    typed = ["attack=pgd", "model=hcn", *DATA, *FEW, *words, "runtime.device=cpu"]
    theirs = on_the_command_line(typed, tmp_path)
    assert ours_without_command(result.run) == ours_without_command(theirs)
    assert result.run.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))
    again = job_of([*result.run.command.split()[3:], "runtime.device=cpu", f"runtime.output_dir={tmp_path}"])
    assert tasks.run(again) == theirs.folder  # the recorded command is the same run


def ours_without_command(run: Run) -> tuple[Any, ...]:
    return (
        run.identity,
        run.settings,
        {k: v for k, v in run.choices.items() if k != "experiment"},
        run.access,
        run.total,
    )


def test_a_surrogate(motion: sa.Clips, hcn: sa.Victim, tmp_path: Path) -> None:
    other = sa.load_victim("hcn", dataset="synthetic_cs", num_frames=32, seed=1, overrides=DATA[2:])
    result = sa.attack(hcn, motion, "pgd", steps=2, batch_size=4, surrogate=other)
    typed = ["attack=pgd", "model=hcn", "model@surrogate=hcn", "surrogate.seed=1", *DATA, *FEW]
    theirs = on_the_command_line(typed, tmp_path)
    assert ours_without_command(result.run) == ours_without_command(theirs)
    assert result.run.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))


def test_a_certificate(motion: sa.Clips, tmp_path: Path) -> None:
    trained = sa.load_victim("hcn", dataset="synthetic_cs", num_frames=32, noise=0.1, overrides=DATA[2:])
    result = sa.certify(trained, motion, sigma=0.1, n=40, n0=10)
    typed = ["task=certify", "model=hcn", "model.noise=0.1", *DATA, "runtime.limit=4"]
    typed += ["smoothing.sigma=0.1", "smoothing.n=40", "smoothing.n0=10", "smoothing.clips=4"]
    theirs = on_the_command_line(typed, tmp_path)
    assert ours_without_command(result.run) == ours_without_command(theirs)
    assert result.run.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))
    assert (result.radius == theirs.array("radius")).all()


def test_out_continues_a_run_of_the_command_line(hcn: sa.Victim, motion: sa.Clips, tmp_path: Path) -> None:
    typed = ["attack=pgd", "model=hcn", *DATA, *FEW, "runtime.save_clips=true"]
    theirs = on_the_command_line(typed, tmp_path)
    result = sa.attack(hcn, motion, "pgd", steps=2, batch_size=4, out=tmp_path)
    assert result.run.folder == theirs.folder
    assert result.run.records.equals(theirs.records)  # the same rows, seconds included: nothing ran again

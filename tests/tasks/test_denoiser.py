"""The denoiser from the command line: fitted once by its settings, attacked, and certified with its noise."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from jobs import job_of

from skeleton_adv import tasks

FIT = ["defense=denoiser", "defense.width=8", "defense.steps=4", "defense.clips=4"]
CERTIFY = ["task=certify", "smoothing.n0=10", "smoothing.n=20", "smoothing.clips=2", "smoothing.at_once=10"]
ATTACK = ["attack=pgd", "attack.steps=2", "batch_size=2"]


@pytest.fixture(scope="module")
def words(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A small victim, and where everything is."""
    folder = tmp_path_factory.mktemp("denoiser")
    data = ["dataset=utd_mhad", f"dataset.root={mat_folder}", "dataset.num_frames=16", "runtime.device=cpu"]
    data += [f"runtime.{name}_dir={folder / name}" for name in ("output", "cache", "checkpoint")]
    data += ["model=hcn", "model.architecture.fc7=16"]
    tasks.run(job_of(["task=train", *data, "recipe.epochs=1"]))
    return [*data, "runtime.limit=2"]


def ran(command: list[str]) -> dict[str, Any]:
    """The facts of a run."""
    folder = tasks.run(job_of(command))
    assert folder is not None
    (rows,) = folder.glob("*.csv")
    assert len(pd.read_csv(rows)) == 2
    facts: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return facts


def parts(words: list[str]) -> dict[Path, float]:
    """The fitted denoisers, and when they were written."""
    (folder,) = (Path(word.partition("=")[2]) for word in words if word.startswith("runtime.checkpoint_dir"))
    return {path: path.stat().st_mtime_ns for path in folder.rglob("denoiser_*.safetensors")}


def test_it_is_fitted_once_for_all_attacks_and_victims(words: list[str]) -> None:
    known = parts(words)
    adaptive = ran([*words, *ATTACK, *FIT])
    assert adaptive["access"] == "adaptive" and not adaptive["randomised"]
    assert adaptive["settings"]["defense"]["sigma"] == 0.02
    (path,) = {*parts(words)} - {*known}
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["settings"]["defense"] == adaptive["settings"]["defense"] and "checkpoint" not in facts["settings"]
    assert not [*path.parent.glob(".*")]
    once = parts(words)
    assert ran([*words, *ATTACK, *FIT, "adaptive=false"])["access"] == "oblivious"
    assert ran([*words, *ATTACK, *FIT, "attack.eps=0.02"])["access"] == "adaptive"
    assert parts(words) == once
    ran([*words, *ATTACK, *FIT, "defense.sigma=0.1"])
    assert len(parts(words)) == len(once) + 1


def test_the_stability_objective_belongs_to_its_victim(words: list[str]) -> None:
    before = {*parts(words)}
    ran([*words, *ATTACK, *FIT, "defense.objective=stability"])
    (path,) = {*parts(words)} - before
    facts = json.loads(path.with_suffix(".json").read_text())
    assert facts["settings"]["checkpoint"] and facts["settings"]["model"]["architecture"]["fc7"] == 16


def test_a_certificate_is_that_of_the_denoised_victim(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    facts = ran([*words, *CERTIFY, *FIT, "smoothing.sigma=0.1"])
    assert facts["settings"]["defense"]["sigma"] == 0.1
    assert "certified accuracy may be low" not in capsys.readouterr().err
    own = ran([*words, *CERTIFY, *FIT, "smoothing.sigma=0.1", "defense.sigma=0.05"])
    assert own["settings"]["defense"]["sigma"] == 0.05 and own["identity"] != facts["identity"]
    assert "the defense removes noise of 0.05; it is certified with noise of 0.1" in capsys.readouterr().err

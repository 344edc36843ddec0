"""Saved clips of an attack are moved into the limits of the body and judged again."""

from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import make_batch
from jobs import job_of
from scipy.io import savemat

from skeleton_adv import tasks
from skeleton_adv.constraints.projection import project
from skeleton_adv.core.errors import RunError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import load_batch
from skeleton_adv.models.network import build_network
from skeleton_adv.models.weights import save_weights
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run, load_run
from skeleton_adv.tasks.resume import prepared_clips

FAR = ("attack=pgd", "attack.eps=0.2", "attack.steps=3", "attack.step=0.1", "batch_size=4", "runtime.save_clips=true")


class Made(NamedTuple):
    words: list[str]
    attacked: Path


def run(words: list[str], *more: str) -> Path:
    folder = tasks.run(job_of([*words, *more]))
    assert folder is not None
    return folder


def loaded(folder: Path) -> Run:
    found = load_run(folder)
    assert found is not None
    return found


def weights_in(words: list[str], path: Path, seed: int) -> str:
    torch.manual_seed(seed)
    job = job_of(words)
    save_weights(build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset), path, {})
    return f"model.checkpoint={path}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Clips of two actions, and an attack that moves every joint by up to 20 cm."""
    place = tmp_path_factory.mktemp("projected")
    rng = np.random.Generator(np.random.PCG64(0))
    (place / "data").mkdir()
    for action, trial in product((1, 2), (1, 2)):
        body = make_batch(1, 24, 1, KINECT20, seed=action).x[0, ..., 0].numpy()
        body = body + 0.01 * rng.normal(size=body.shape)
        savemat(place / f"data/a{action}_s2_t{trial}_skeleton.mat", {"d_skel": body.transpose(2, 0, 1)})
    words = [
        *("dataset=utd_mhad", f"dataset.root={place / 'data'}", "dataset.num_frames=16", "runtime.device=cpu"),
        *(f"runtime.{name}_dir={place / name}" for name in ("output", "cache", "checkpoint")),
        *("model=hcn", "model.architecture.fc7=16", "dataset.num_actions=2"),
    ]
    words.append(weights_in(words, place / "own.safetensors", 0))
    return Made(words, run(words, *FAR))


def test_every_projected_clip_is_feasible_and_is_the_projection_of_its_saved_clip(made: Made) -> None:
    assert not loaded(made.attacked).array("feasible").any()
    for limits in ("paper", "loose_true"):
        words = [*made.words, "attack=projected", f"attack.path={made.attacked}", f"constraint={limits}"]
        found = loaded(run(words, "batch_size=4", "runtime.save_clips=true"))
        assert found.done == 4 and found.array("feasible").all() and found.folder is not None
        assert (found.array("l2") < loaded(made.attacked).array("l2")).all() and found.array("l2").min() > 0
        job = job_of(words)
        order = found.array("index").tolist()
        batch = load_batch(job.dataset, prepared_clips(job), order)
        far = torch.from_numpy(SavedClips(made.attacked).load(order))
        ours = torch.from_numpy(SavedClips(found.folder).load(order))
        assert torch.equal(ours, project(job.task.constraint, far, batch))  # type: ignore[attr-defined]


def test_a_row_says_what_was_projected_and_what_the_attack_knew(made: Made, tmp_path: Path) -> None:
    words = ["attack=projected", f"attack.path={made.attacked.parent}", "batch_size=4"]
    found = loaded(run(made.words, *words))
    assert found.origin is not None and found.origin["attack"] == "pgd" and found.origin["run"] == made.attacked.name
    assert found.attack == "projected" and found.access == "white box"
    other = [*made.words, weights_in(made.words, tmp_path / "other.safetensors", 1)]
    assert loaded(run(other, *words)).access == "none"


def test_clips_of_another_dataset_are_refused(made: Made) -> None:
    with pytest.raises(RunError, match=r"dataset\.num_frames=16, not 24"):
        run([*made.words, "dataset.num_frames=24"], "attack=projected", f"attack.path={made.attacked}")

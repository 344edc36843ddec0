"""Laws of every training in ``conf/training``."""

import random
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from conftest import make_batch
from jobs import job_of
from options import chosen, made, options

from skeleton_adv.certificates.spaces import SPACES
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.train.noise import GaussianNoise
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training

every = pytest.mark.parametrize("name", options("training"))
WORDS = ("dataset.num_actions=3", "dataset.num_frames=16", "model.architecture.fc7=16")


def training_of(name: str) -> Any:
    return made(chosen("training", name))


@cache
def small_job() -> Job:
    return job_of([*WORDS])


def network_of(training: Training, job: Job) -> Network:
    """The network that a training trains, in training mode."""
    network = build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset)
    return training.network(network).train()


def narrow(training: Training) -> Training:
    """The same training with few channels."""
    return replace(training, **({"hidden": 8} if hasattr(training, "hidden") else {}))


def clip(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    batch = make_batch(n=1, t=16, dtype=torch.float32, seed=seed)
    return batch.x[0].numpy().copy(), batch.mask[0, 0].numpy()


@pytest.mark.cases(5)
@every
def test_a_clip_depends_on_its_own_draws_and_absent_joints_do_not_move(name: str) -> None:
    training = training_of(name)
    (frames, exists), seen = clip(), []
    before = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
    for _ in range(2):
        seen.append(training.clip(frames.copy(), exists, NTU25, random.Random(3), 1.0))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), repr(np.random.get_state())) == before[1:]  # noqa: NPY002
    assert np.array_equal(*seen) and seen[0].shape == frames.shape and seen[0].dtype == frames.dtype
    assert (seen[0][:, ~exists] == frames[:, ~exists]).all()


@pytest.mark.cases(5)
@every
def test_the_loss_is_finite_and_every_weight_learns(name: str) -> None:
    job, training = small_job(), training_of(name)
    network = network_of(training, job)
    batch = make_batch(n=3 * training.versions, t=16, dtype=torch.float32)
    torch.manual_seed(0)
    training = narrow(training)
    trained = training.start(network, job.dataset, 40).train()
    loss = training.loss(trained, batch, Recipe(epochs=1))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.shape == () and loss.isfinite()
    gradients: list[Any] = [weight.grad for weight in network.parameters() if weight.requires_grad]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients)
    if not isinstance(training, PostTraining):  # whose moments need steps
        assert training.finish(trained, training.optimiser(trained, Recipe(epochs=1), 40)) is network


def test_each_has_a_unique_tag_and_identity() -> None:
    every = [training_of(name) for name in options("training")]
    assert len({training.tag for training in every}) == len(every) > 10
    assert len({repr(training.identity()) for training in every}) == len(every)


@pytest.mark.parametrize("space", list(SPACES))
def test_training_noise_of_every_space_is_that_of_the_certificate(space: str) -> None:
    """A clip is changed by parameters of the space; strength 0 changes nothing; each space has its own weights."""
    noise = GaussianNoise(0.1, space)
    frames, exists = clip()
    moved = noise.clip(frames.copy(), exists, NTU25, random.Random(3), 1.0)
    again = noise.clip(frames.copy(), exists, NTU25, random.Random(3), 1.0)
    assert np.array_equal(moved, again) and moved.dtype == frames.dtype and not np.allclose(moved, frames)
    assert np.allclose(noise.clip(frames.copy(), exists, NTU25, random.Random(3), 0.0), frames, atol=1e-6)
    assert (moved[:, ~exists] == frames[:, ~exists]).all()
    if space == "joints":
        assert noise.tag == "noise0.1" and noise.identity() == {"noise": 0.1}
    else:
        assert noise.tag == f"noise0.1_{space}" and noise.identity()["training"]["space"] == space
    if space in ("bones", "yaw", "scale"):
        root = (frames - moved)[:, :, NTU25.root, 0][:, :1]
        assert np.abs(root).max() < 1e-6  # it is on the axis, and bones are rebuilt from it


def test_settings_of_a_space_name_the_weights_and_inexact_noise_is_refused() -> None:
    assert GaussianNoise(0.1, "dct", components=6).tag == "noise0.1_dct_components6"
    assert GaussianNoise(0.1, "correlated", joint_scales={"head": 2.0}).tag.endswith("_joint_scaleshead2")
    assert GaussianNoise(0.1, "bones", components=6).tag == "noise0.1_bones"
    assert GaussianNoise(0.0, "bones").tag == "" and GaussianNoise(0.0, "bones").identity() == {}
    with pytest.raises(SettingError, match=r"training\.space=rotations has no exact certificate"):
        GaussianNoise(0.1, "rotations")

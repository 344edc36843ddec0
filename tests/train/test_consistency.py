"""Consistency regularisation: its terms in closed form, and several versions of each clip in a batch."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from samples import admm
from torch import nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.report.words import network_names, training_summary
from skeleton_adv.train.augment import training_batch
from skeleton_adv.train.consistency import Consistency, spread
from skeleton_adv.train.noise import GaussianNoise
from skeleton_adv.train.recipe import Recipe

RECIPE = Recipe(crop=0.5, rotation=(5, 10, 5))


def test_the_spread_of_draws_in_closed_form() -> None:
    """Two certain and opposite draws: their mean is (1/2, 1/2), and each is infinitely far; equal draws: not at all."""
    p = torch.tensor([[[0.9, 0.1], [0.1, 0.9]], [[0.7, 0.3], [0.7, 0.3]]], dtype=torch.float64)
    divergence, entropy = spread(p.log())
    apart = 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1)
    torch.testing.assert_close(divergence, torch.tensor([apart, 0.0], dtype=torch.float64))
    same = -(0.7 * np.log(0.7) + 0.3 * np.log(0.3))
    torch.testing.assert_close(entropy, torch.tensor([np.log(2), same], dtype=torch.float64))


def test_without_its_terms_the_loss_is_that_of_training_with_noise() -> None:
    network, x, y = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)), torch.randn(4, 3, 1, 2, 1), torch.tensor([0, 0, 2, 2])
    batch = type("Batch", (), {"x": x, "y": y})()
    plain = Consistency(draws=2, weight=0.0, entropy=0.0)
    torch.testing.assert_close(plain.loss(network, batch, RECIPE), GaussianNoise().loss(network, batch, RECIPE))
    divergence, entropy = spread(network(x).unflatten(0, (2, 2)))
    whole = Consistency(draws=2, weight=3.0, entropy=2.0).loss(network, batch, RECIPE)
    torch.testing.assert_close(whole, F.cross_entropy(network(x), y) + 3 * divergence.mean() + 2 * entropy.mean())


def test_the_versions_of_a_clip_differ_in_their_noise_alone(mat_folder: Path, tmp_path: Path) -> None:
    """They follow each other, with one augmentation and one label; without noise, they are equal."""
    dataset = UTDMHAD(str(mat_folder))
    prepared = prepare(dataset, tmp_path)
    training = Consistency(sigma=0.25, draws=3)

    def batch(strength: float) -> torch.Tensor:
        made = training_batch(dataset, prepared, [4, 1], RECIPE, random.Random(2), training, strength)
        assert made.index.tolist() == [4, 4, 4, 1, 1, 1] and len(made.y) == len(made.mask) == len(made.dt) == 6
        return made.x.unflatten(0, (2, 3))

    still = batch(0.0)
    assert torch.equal(still[:, :1].expand_as(still), still)
    noise = batch(1.0)[0] - still[0]  # the second clip's augmentation has other draws
    assert noise.flatten(1).std(dim=1).sub(0.25).abs().max() < 0.02
    correlation = torch.corrcoef(noise.flatten(1)) - torch.eye(3)
    assert correlation.abs().max() < 0.1


def test_tables_name_it_beside_its_noise() -> None:
    trained = admm(training={"name": "consistency", "sigma": 0.25, "draws": 2}, trained_noise=0.25)
    assert training_summary(trained) == "trained by consistency with σ=0.25"
    assert "trained by consistency with σ=0.25" in network_names([trained])["model"](trained)
    assert (
        training_summary(admm(training={"name": "noise", "sigma": 0.25}, trained_noise=0.25)) == "trained with σ=0.25"
    )


def test_weights_are_named_by_noise_and_consistency() -> None:
    assert Consistency(0.1).tag == "noise0.1_consistency2_10_0.5"
    assert Consistency(0.1, "bones").tag == "noise0.1_bones_consistency2_10_0.5"
    assert Consistency(0.1).identity()["noise"] == 0.1
    with pytest.raises(SettingError, match=r"training\.draws=1"):
        Consistency(draws=1)

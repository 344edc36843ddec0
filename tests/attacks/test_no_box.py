"""Hard No-Box on linear features: its loss, its steps, its centres, and its use of a surrogate's classes."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from black_box import PoolOf
from conftest import Linear, linear_case, make_batch
from options import attack_of, chosen, made
from torch import Tensor

from skeleton_adv.attacks import uses_labels
from skeleton_adv.attacks.clusters import k_means
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.attacks.no_box import fit_centres, no_box
from skeleton_adv.attacks.smi import influence, informed
from skeleton_adv.attacks.smi_fgsm import smi_fgsm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError

NAMES = ("no_box", "no_box_i", "no_box_mi", "no_box_s1i", "no_box_s1mi", "no_box_s2i", "smi_fgsm")


def case(n: int = 4, t: int = 10) -> tuple[Linear, SkeletonBatch, dict[str, Tensor]]:
    """An encoder of 5 features, clips, and 6 centres."""
    batch = make_batch(n=n, t=t)
    rng = torch.Generator().manual_seed(4)
    return Linear(batch), batch, {"centres": 0.9 * F.normalize(torch.randn(6, 5, generator=rng).double(), dim=1)}


def equation_2(features: Tensor, clean: Tensor, centres: Tensor) -> Tensor:
    """The sum over clips, with ``centres`` (N, k, F), as the cross-entropy of the class 0 in a softmax of cosines."""
    entries = torch.cat([clean[:, None], centres], dim=1)
    cosines = F.cosine_similarity(features[:, None], entries, dim=2)
    return F.cross_entropy(cosines, torch.zeros(len(features), dtype=torch.long), reduction="sum")


def gradient_at(model: Linear, batch: SkeletonBatch, x: Tensor, centres: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(equation_2(model(x), model(batch.x), centres.expand(len(x), -1, -1)), x)
    gradient = gradient * batch.movable
    mean = gradient.abs().flatten(1).sum(dim=1) / batch.movable.flatten(1).sum(dim=1)
    return gradient / mean.view(-1, 1, 1, 1, 1)


@pytest.mark.parametrize(("order", "momentum"), [(0, 0.0), (0, 1.0), (1, 0.0), (2, 0.0), (2, 0.7)])
def test_steps_are_those_of_the_paper(order: Any, momentum: float) -> None:
    """Signs of the direction u = g~ + momentum u, for three steps."""
    model, batch, fitted = case()
    shares = influence(batch, order)
    x, u = batch.x, torch.zeros_like(batch.x)
    for _ in range(3):
        u = (informed(gradient_at(model, batch, x, fitted["centres"]), shares) + momentum * u) * batch.movable
        x = x + 0.002 * u.sign()
    settings = {"order": order, "momentum": momentum, "dropped": 0}
    found = no_box(model, batch, fitted=fitted, step=0.002, steps=3, eps=0.1, **settings).x_adv
    torch.testing.assert_close(found, x, rtol=0, atol=1e-12)


def test_the_nearest_centres_are_left_out() -> None:
    model, batch, fitted = case()
    own = F.normalize(model(batch.x), dim=1)
    order = torch.cdist(own, fitted["centres"]).argsort(dim=1)
    rest = fitted["centres"][order[:, 2:]]
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(equation_2(model(x), model(batch.x), rest), x)
    result = no_box(model, batch, fitted=fitted, dropped=2, step=0.01, steps=1, order=0)
    expected = 0.01 * gradient.sign() * batch.movable
    torch.testing.assert_close(result.x_adv - batch.x, expected, rtol=0, atol=1e-12)
    assert not torch.allclose(result.x_adv, no_box(model, batch, fitted=fitted, dropped=0, step=0.01, steps=1).x_adv)


def test_features_leave_those_of_the_clean_clip() -> None:
    model, batch, fitted = case()
    result = no_box(model, batch, fitted=fitted, steps=40, step=0.001)
    cosine = F.cosine_similarity(model(result.x_adv), model(batch.x))
    assert (cosine < 0.999).all() and not result.found.any()
    moved = (result.x_adv - batch.x).abs()
    assert moved.max() <= 0.01 + 1e-12 and not moved[~batch.movable].any()


def test_labels_are_not_used() -> None:
    model, batch, fitted = case()
    found = [no_box(model, batch.with_labels(y), fitted=fitted, steps=3).x_adv for y in (batch.y, 4 - batch.y)]
    assert torch.equal(*found)
    for name in NAMES:
        assert uses_labels(made(chosen("attack", name))) is (name == "smi_fgsm")


@pytest.mark.parametrize("targeted", [False, True])
def test_with_cross_entropy_it_fools_a_linear_victim(targeted: bool) -> None:
    model, batch = linear_case(n=6, t=10)
    goal = batch.with_labels((batch.y + 1) % 5) if targeted else batch
    found = {}
    for order in (0, 2):
        settings: dict[str, Any] = {"order": order, "targeted": targeted, "steps": 20}
        result = smi_fgsm(model, goal, eps=0.3, step=0.03, **settings)
        assert torch.equal(result.found, fooled(model(result.x_adv), goal.y, targeted))
        found[order] = result.found
    assert found[0].all()  # the sign of the gradient is optimal for a linear victim; the motion-informed one is not


@pytest.mark.parametrize("name", NAMES)
def test_variants_are_their_settings(name: str, tmp_path: Any) -> None:
    settings = chosen("attack", name)
    order = {"i": 0, "mi": 0, "s1i": 1, "s1mi": 1, "s2i": 2}.get(name.rpartition("_")[2], 2)
    assert settings["order"] == order
    assert settings["momentum"] == (0.0 if name in ("no_box_i", "no_box_s1i", "no_box_s2i") else 1.0)
    assert settings["step"] == pytest.approx(1e-4) and settings["steps"] == 400
    batch = make_batch(n=2)
    result = attack_of(name, tmp_path, batch)(Linear(batch), batch)
    moved = result.x_adv - batch.x
    assert moved.any() and moved.abs().max() <= 3e-4 + 1e-12  # three steps


class Unlabelled(PoolOf):
    """Training clips whose labels may not be read."""

    @property
    def labels(self) -> Tensor:
        raise AssertionError("the attack reads labels")


def fitted_on(clips: SkeletonBatch, **settings: Any) -> Tensor:
    own = {"centres": None, "seed": 0} | settings
    *_, last = fit_centres(lambda batch: Linear(batch), Unlabelled(clips), None, **own)
    return last["centres"]


def test_centres_are_fitted_without_labels_and_with_a_seed() -> None:
    clips = make_batch(n=40)
    centres = fitted_on(clips)
    assert centres.shape == (5, 5) and torch.equal(centres, fitted_on(clips))
    features = F.normalize(Linear(clips)(clips.x), dim=1)
    nearest = torch.cdist(features, centres).argmin(dim=1)
    means = torch.stack([features[nearest == k].mean(dim=0) for k in range(5)])
    torch.testing.assert_close(centres, means)
    assert fitted_on(clips, centres=7).shape == (7, 5)


def test_k_means_finds_groups() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [4, 0], [0, 4], [4, 4], [9, 9]], dtype=float)
    points = torch.from_numpy(np.concatenate([corner + 0.1 * rng.normal(size=(20, 2)) for corner in corners]))
    found = k_means(points, 5, seed=1)
    means = points.view(5, 20, 2).mean(dim=1)
    assert torch.cdist(means, found).amin(dim=1).max() < 1e-9
    every = k_means(points[:7], 7, seed=0)
    assert torch.cdist(points[:7], every).amin(dim=1).max() == 0
    equal = k_means(torch.ones(6, 3), 4, seed=0)
    assert torch.equal(equal, torch.ones(4, 3))


def test_settings_that_leave_nothing_are_refused() -> None:
    model, batch, fitted = case()
    with pytest.raises(SettingError, match="dropped=6"):
        no_box(model, batch, fitted=fitted, dropped=6)
    with pytest.raises(SettingError, match="targeted=false"):
        no_box(model, batch, fitted=fitted, targeted=True)
    with pytest.raises(SettingError, match="centres=9"):
        fitted_on(make_batch(n=8), centres=9)

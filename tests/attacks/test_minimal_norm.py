"""Attacks that search for the smallest perturbation, on a linear victim whose nearest adversarial clip is known."""

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import pytest
import torch
from conftest import Linear, linear_case
from nearest import l0, l2, linf
from torch import Tensor

from skeleton_adv.attacks import AttackResult
from skeleton_adv.attacks.cw import cw
from skeleton_adv.attacks.cw_l0 import cw_l0
from skeleton_adv.attacks.cw_linf import cw_linf
from skeleton_adv.attacks.ddn import ddn
from skeleton_adv.attacks.deepfool import deepfool
from skeleton_adv.attacks.fmn import fmn
from skeleton_adv.attacks.lbfgs import lbfgs
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.attacks.shortest import direction, length
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError

Attack = Callable[..., AttackResult]


def two_classes(**shape: Any) -> tuple[Linear, SkeletonBatch]:
    """A linear victim of two classes: the cross-entropy then points to the border, as the margin does."""
    model, batch = linear_case(**shape)
    model.weight.data = model.weight[:2]
    return model, batch.with_labels(model(batch.x).argmax(dim=1))


def size(result: AttackResult, batch: SkeletonBatch, norm: str = "l2") -> Tensor:
    moved = (result.x_adv - batch.x).flatten(1)
    return moved.norm(dim=1) if norm == "l2" else moved.abs().amax(dim=1)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize(
    ("attack", "norm", "limit"),
    [
        (partial(ddn, loss="margin"), "l2", 1.05),
        (fmn, "l2", 1.01),
        (partial(fmn, norm="linf"), "linf", 1.01),
        (partial(cw_linf, outer_steps=15), "linf", 1.05),
    ],
)
def test_near_the_optimum(attack: Attack, norm: str, limit: float, targeted: bool) -> None:
    """A target among many classes has no closed form, so there are two, on a flatter victim."""
    model, batch = two_classes(n=2, t=2) if targeted else linear_case(n=4, t=2)
    if targeted:
        model.weight.mul_(0.2)
    result = attack(model, batch.with_labels(1 - batch.y) if targeted else batch, targeted=targeted)
    ratio = size(result, batch, norm) / (l2 if norm == "l2" else linf)(model, batch)
    assert result.found.all() and (ratio >= 1 - 1e-6).all()
    assert (ratio <= limit).all(), ratio


@pytest.mark.parametrize(("attack", "limit"), [(ddn, 1.05), (lbfgs, 1.05)])
@pytest.mark.parametrize("targeted", [False, True])
def test_the_cross_entropy_is_near_the_optimum_between_two_classes(
    attack: Attack, limit: float, targeted: bool
) -> None:
    model, batch = two_classes(n=2, t=2)
    result = attack(model, batch.with_labels(1 - batch.y) if targeted else batch, targeted=targeted)
    ratio = size(result, batch) / l2(model, batch)
    assert result.found.all() and (ratio >= 1 - 1e-6).all() and (ratio <= limit).all(), ratio


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_is_exact_up_to_its_overshoot(norm: Any) -> None:
    model, batch = linear_case(n=6)
    optimum = (l2 if norm == "l2" else linf)(model, batch)
    for overshoot in (0.02, 0.5):
        result = deepfool(model, batch, norm=norm, overshoot=overshoot, steps=3)
        assert result.found.all()
        torch.testing.assert_close(size(result, batch, norm), (1 + overshoot) * optimum, rtol=1e-6, atol=0)


def test_deepfool_compares_the_classes_with_the_largest_logits_only() -> None:
    model, batch = linear_case(n=6)
    first, second = model(batch.x).topk(2, dim=1).indices.T
    result = deepfool(model, batch, classes=1, steps=3)
    assert torch.equal(model(result.x_adv).argmax(dim=1), second) and torch.equal(first, batch.y)
    assert (size(result, batch) >= 1.02 * l2(model, batch) * (1 - 1e-6)).all()


def test_deepfool_has_no_target() -> None:
    model, batch = linear_case(n=2)
    with pytest.raises(SettingError, match="targeted=false"):
        deepfool(model, batch, targeted=True)


@pytest.mark.parametrize("targeted", [False, True])
def test_as_few_joint_frames_as_the_optimum(targeted: bool) -> None:
    """The optimum moves the steepest joint-frames by ``reach``."""
    model, batch = two_classes(n=2, t=2) if targeted else linear_case(n=2, t=2)
    few: Any = {"reach": 0.1, "outer_steps": 20, "inner_steps": 20}
    result = cw_l0(model, batch.with_labels(1 - batch.y) if targeted else batch, targeted=targeted, **few)
    moved = (result.x_adv != batch.x).any(dim=1).flatten(1).sum(dim=1)
    optimum = l0(model, batch, 0.1)
    assert torch.equal(result.columns["joint_frames"], moved) and result.found.all()
    assert (moved >= optimum).all() and (moved <= 1.1 * optimum + 1).all(), (moved, optimum)
    assert ((result.x_adv - batch.x).norm(dim=1) <= 0.1 + 1e-6).all()


def test_without_success_nothing_is_claimed() -> None:
    model, batch = linear_case(n=3, t=4)
    hopeless = partial(cw_l0, reach=1e-6, outer_steps=3, inner_steps=3)
    for attack in (hopeless, partial(lbfgs, c=1e-12, search_steps=1, steps=3), partial(ddn, radius=1e-6, steps=3)):
        result = attack(model, batch)
        assert not result.found.any() and not fooled(model(result.x_adv), batch.y, False).any()
        assert result.x_adv.isfinite().all()


@pytest.mark.parametrize("attack", [ddn, fmn, deepfool, lbfgs, cw_linf, cw_l0, cw])
def test_a_clip_that_is_already_misclassified_does_not_move(attack: Attack) -> None:
    model, batch = linear_case(n=2, t=2)
    few = {key: 3 for key in signature(attack).parameters if key.endswith("steps")}
    result = attack(model, batch.with_labels((batch.y + 1) % 5), **few)
    assert result.found.all() and torch.equal(result.x_adv, batch.x)


def test_tiny_gradients_have_a_direction() -> None:
    """A network that is certain of its answer has gradients whose squares are 0 in float32."""
    gradient = torch.tensor([3e-30, 4e-30, 0.0, 0.0, 0.0, 0.0]).view(2, 3, 1, 1, 1)
    torch.testing.assert_close(length(direction(gradient)), torch.tensor([1.0, 0.0]))

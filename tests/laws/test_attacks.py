"""Laws of every attack in ``conf/attack``."""

import random
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import linear_case
from options import attack_of, chosen, made, near_the_border, options, reordered
from torch import Tensor, nn

from skeleton_adv.attacks import access_of, aims, own_columns, passes_of, uses_labels
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import AttackError
from skeleton_adv.core.skeleton import OPENPOSE18
from skeleton_adv.defenses import none
from skeleton_adv.models.victim import Victim, View

every = pytest.mark.parametrize("name", options("attack"))
both = pytest.mark.parametrize("targeted", [False, True])
UNTARGETED = {name for name in options("attack") if not aims(made(chosen("attack", name)))}
LESS = {"gradients": ("scores", "labels", "none"), "scores": ("labels", "none"), "labels": ("none",), "none": ()}


class Counted(nn.Module):
    """A victim that counts its forward and backward passes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.forwards, self.gradients = network, 0, 0

    def forward(self, x: Tensor, context: Context) -> Tensor:
        self.forwards += 1
        logits: Tensor = self.network(x)
        if logits.requires_grad:
            logits.register_hook(self._differentiated)
        return logits

    def _differentiated(self, gradient: Tensor) -> None:
        self.gradients += 1


def case(targeted: bool, **shape: Any) -> tuple[nn.Module, SkeletonBatch]:
    model, batch = linear_case(**{"n": 8, "t": 4, "dtype": torch.float32} | shape)
    return model, batch.with_labels((batch.y + 1) % 5) if targeted else batch


def view_of(model: nn.Module, batch: SkeletonBatch) -> View:
    return Victim(model, none, "cpu").view(batch, "attack", 0)


def made(name: str, folder: Path, batch: SkeletonBatch, targeted: bool) -> Any:
    """The attack; skips the test of a target for an attack that has none."""
    attack = attack_of(name, folder, batch, targeted)
    if targeted and not aims(attack):
        pytest.skip("the attack has no target")
    return attack


def run(name: str, folder: Path, model: nn.Module, batch: SkeletonBatch, targeted: bool) -> Any:
    attack = made(name, folder, batch, targeted)
    return attack(view_of(Counted(model), batch).limited(access_of(attack)), batch, targeted=targeted)


@pytest.fixture(autouse=True)
def _has_a_target(request: pytest.FixtureRequest) -> None:
    """A targeted law does not apply to an attack without a target."""
    given = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    aimed = given.get("targeted") or request.function is test_an_easy_target_is_reached
    if aimed and given.get("name") in UNTARGETED:
        pytest.skip("the attack has no target")


@pytest.mark.cases(30)
@every
@both
@pytest.mark.parametrize("body", ["ntu25", "openpose18"])
def test_immovable_entries_do_not_move(name: str, targeted: bool, body: str, tmp_path: Path) -> None:
    """An attack does not write into its clips either."""
    model, batch = case(targeted, **({"skeleton": OPENPOSE18} if body == "openpose18" else {}))
    before = {key: getattr(batch, key).clone() for key in ("x", "y", "mask", "index", "dt")}
    result = run(name, tmp_path, model, batch, targeted)
    assert result.x_adv.shape == batch.x.shape and not result.x_adv.requires_grad
    moved = result.x_adv != batch.x
    assert moved.any() and not (moved & ~batch.movable).any() and result.x_adv.isfinite().all()
    assert all(torch.equal(getattr(batch, key), value) for key, value in before.items())
    assert result.found.shape == (8,) and result.found.dtype == torch.bool


@pytest.mark.cases(30)
@every
@both
def test_a_mask_limits_the_joints_and_frames_that_move(name: str, targeted: bool, tmp_path: Path) -> None:
    model, batch = case(targeted)
    attack = made(name, tmp_path, batch, targeted)
    if "joints" not in signature(attack).parameters:
        pytest.skip("the attack has no masks")
    limits = {"joints": [3, batch.skeleton.joints[8]], "frames": "1:3"}
    view = view_of(Counted(model), batch).limited(access_of(attack))
    moved = attack(view, batch, targeted=targeted, **limits).x_adv != batch.x
    assert moved.any() and not (moved & ~batch.limited(**limits).movable).any()  # type: ignore[arg-type]


@pytest.mark.cases(30)
@every
@both
def test_clips_do_not_depend_on_other_clips(name: str, targeted: bool, tmp_path: Path) -> None:
    """Results are bit-equal in chunks of a fixed shape."""
    model, batch = case(targeted)
    order = [3, 7, 1, 6, 2, 5, 0, 4]
    plain, other = (run(name, tmp_path, model, z, targeted) for z in (batch, reordered(batch, order)))
    assert torch.equal(plain.x_adv[order], other.x_adv) and torch.equal(plain.found[order], other.found)
    mates = reordered(batch, [0, 0, 0, 0, 1, 1, 1, 1])
    assert torch.equal(plain.x_adv[[0, 1]], run(name, tmp_path, model, mates, targeted).x_adv[[0, 4]])


@pytest.mark.cases(30)
@every
@both
def test_found_agrees_with_a_fresh_evaluation(name: str, targeted: bool, tmp_path: Path) -> None:
    """Victims have weak and steep logits, so that some clips are fooled and others are not."""
    for scale in (1.0, 30.0):
        model, batch = case(targeted)
        with torch.no_grad():
            model.weight.mul_(scale)  # type: ignore[operator, union-attr]
        result = run(name, tmp_path, model, batch, targeted)
        fresh = fooled(model(result.x_adv), batch.y, targeted)
        assert not (result.found & ~fresh).any()
        attack = attack_of(name, tmp_path, batch)
        if access_of(attack) == "none" or not uses_labels(attack):  # an attack that sees no class claims nothing
            assert not result.found.any()
        else:
            assert torch.equal(result.found, fresh)


@pytest.mark.cases(30)
@every
def test_an_easy_target_is_reached(name: str, tmp_path: Path) -> None:
    model, batch, beyond = near_the_border()
    assert torch.equal(model(batch.x).argmax(dim=1), batch.y) and not (batch.y == beyond).any()
    if access_of(attack_of(name, tmp_path, batch)) == "none":
        pytest.skip("an attack that may not call the victim cannot aim")
    if chosen("attack", name).get("until") == "template":
        pytest.skip("the attack aims at a template, not at a class")
    result = run(name, tmp_path, model, batch.with_labels(beyond), True)
    assert torch.equal(model(result.x_adv).argmax(dim=1), beyond) and result.found.all()


@pytest.mark.cases(30)
@every
@both
def test_no_global_random_state_is_used_or_changed(name: str, targeted: bool, tmp_path: Path) -> None:
    model, batch = case(targeted)
    found = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = (torch.get_rng_state(), random.getstate(), repr(np.random.get_state()))  # noqa: NPY002
        found.append(run(name, tmp_path, model, batch, targeted).x_adv)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (random.getstate(), repr(np.random.get_state())) == before[1:]  # noqa: NPY002
    assert torch.equal(*found)


@pytest.mark.cases(30)
@every
@both
def test_passes_and_gradients_are_counted(name: str, targeted: bool, tmp_path: Path) -> None:
    model, batch = case(targeted)
    attack = made(name, tmp_path, batch, targeted)
    counted = Counted(model)
    view = view_of(counted, batch)
    result = attack(view.limited(access_of(attack)), batch, targeted=targeted)
    assert (view.forwards, view.gradients) == (counted.forwards, counted.gradients)
    assert passes_of(attack) in (None, view.forwards)
    assert len(view.answers) == view.forwards
    assert (view.gradients > 0) == (access_of(attack) == "gradients")
    assert (view.forwards > 0) == (access_of(attack) != "none")
    assert {*result.columns} == {*own_columns(attack)}


@pytest.mark.cases(30)
@every
def test_an_attack_gets_no_more_than_it_declares(name: str, tmp_path: Path) -> None:
    """With less access it raises an error, so no attack declares more access than it requires."""
    model, batch = case(False)
    attack = attack_of(name, tmp_path, batch)
    assert access_of(attack) in LESS
    for less in LESS[access_of(attack)]:
        clear = AttackError if less != "labels" or access_of(attack) != "scores" else Exception
        with pytest.raises(clear):
            attack(view_of(model, batch).limited(less), batch)  # type: ignore[arg-type]

"""Laws of every defense in ``conf/defense``."""

from typing import Any

import pytest
import torch
from conftest import Linear, make_batch
from options import context_of, defense_of, options
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.defenses import none
from skeleton_adv.models.victim import Victim

every = pytest.mark.parametrize("name", options("defense"))
bodies = pytest.mark.parametrize("skeleton", [NTU25, KINECT20, OPENPOSE18], ids=lambda s: s.name)


def off_of(name: str) -> dict[str, Any]:
    """The settings with which a defense changes nothing, as it declares in ``OFF``; empty if it has no strength."""
    made = defense_of(name)
    found: dict[str, Any] = getattr(getattr(made, "func", made), "OFF", {})
    return found


class Seen(nn.Module):
    """A linear network that records its inputs."""

    def __init__(self, batch: SkeletonBatch) -> None:
        super().__init__()
        self.linear, self.shown = Linear(batch), []

    def forward(self, x: Tensor, context: Any = None) -> Tensor:
        self.shown.append(x.detach())
        logits: Tensor = self.linear(x)
        return logits


@every
def test_without_strength_it_is_the_identity(name: str) -> None:
    batch = make_batch(n=3, dtype=torch.float32)
    network = Seen(batch)
    off = defense_of(name, batch, **off_of(name))(network)
    for purpose in ("attack", "judge"):
        assert torch.equal(off(batch.x, context_of(batch, purpose=purpose)), network(batch.x))
    assert not Victim(network, defense_of(name, batch, **off_of(name)), "cpu").randomised


@every
@bodies
def test_absent_joints_do_not_change(name: str, skeleton: Skeleton) -> None:
    batch = make_batch(n=3, skeleton=skeleton, dtype=torch.float32)
    network = Seen(batch)
    defense = defense_of(name, batch)(network)
    if getattr(defense, "in_space", False) and len(skeleton.coords) < 3:
        with pytest.raises(SettingError, match=f"defense={name} has no meaning for {skeleton.name}"):
            defense(batch.x, context_of(batch))
        return
    defense(batch.x, context_of(batch))
    assert network.shown
    for shown in network.shown:
        assert shown.shape == batch.x.shape and torch.equal(shown[~batch.movable], batch.x[~batch.movable])


@every
def test_randomised_is_correct(name: str) -> None:
    """The noise depends only on clip, draw, seed and purpose: with equal values, the output is equal."""
    batch = make_batch(n=3, dtype=torch.float32)
    defense = defense_of(name, batch)(Seen(batch))
    first, again = (defense(batch.x, context_of(batch)) for _ in range(2))
    other = defense(batch.x, context_of(batch, draw=1))
    assert torch.equal(first, again)
    randomised = bool(getattr(defense, "randomised", False))
    assert torch.equal(first, other) == (not randomised)
    assert Victim(Seen(batch), defense_of(name, batch), "cpu").randomised == randomised


@every
def test_streams_of_noise_are_independent(name: str) -> None:
    """For other draws, seeds, purposes and clips, no two streams are correlated or equal.

    With a defense without noise, the input of the network is the same every time.
    """
    whole = make_batch(n=2, t=16, m=1, dtype=torch.float32)
    same = (values[[1, 1]] for values in (whole.x, whole.y, whole.mask))
    batch = SkeletonBatch(*same, torch.tensor([4, 5]), whole.dt, NTU25)
    network = Seen(batch)
    defense = defense_of(name, batch)(network)
    for changes in ({}, {"draw": 1}, {"seed": 6}, {"purpose": "clean"}, {"purpose": "attack"}):
        defense(batch.x, context_of(batch, **changes))
    if not getattr(defense, "randomised", False):
        assert all(torch.equal(shown, network.shown[0]) for shown in network.shown)
        return
    quiet = Seen(batch)
    defense_of(name, sigma=0.0)(quiet)(batch.x, context_of(batch))
    # The added noise, filtered or not: one row per draw and clip.
    noise = torch.cat([(shown - quiet.shown[0]).flatten(1) for shown in network.shown]).double()
    assert len(noise) == 2 * (4 * 3 + 2)
    far = torch.corrcoef(noise) - torch.eye(len(noise))
    # A filter of 5 or 7 taps leaves about a third of the numbers independent of each other.
    assert far.abs().max() < 5.5 / (noise.shape[1] / 3.6) ** 0.5


def test_no_defense_is_the_network_itself() -> None:
    network = Seen(make_batch(n=1))
    assert none(network) is network

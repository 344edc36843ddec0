"""Posteriors over weights: draws have their mean and variance, and the victim's view counts their passes."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import make_batch
from options import context_of, dataset_of
from torch import Tensor, nn

from skeleton_adv.attacks import posterior
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.defenses import none
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.posterior import Appended, Heads, Spread, with_spread
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import Victim, View
from skeleton_adv.models.weights import load_weights, save_weights

KINDS = ("appended", "whole")


def plain() -> Network:
    torch.manual_seed(0)
    return build_network(partial(HCN, fc7=16), CenterPerFrame, dataset_of(NTU25, 2)).eval()


def with_posterior(kind: str, deviation: float = 0.0) -> Network:
    """A recogniser with a posterior in which every weight has this standard deviation."""
    network = plain()
    network.model = Appended(network.model, 3, 5) if kind == "appended" else with_spread(network.model)
    for buffer in spread_of(network).buffers():
        buffer.fill_(deviation**2)
    return network.eval()


def spread_of(network: Network) -> Spread:
    spread = network.model.get_submodule("spread")
    assert isinstance(spread, Spread)
    return spread


@pytest.fixture
def clips() -> SkeletonBatch:
    return make_batch(n=4, t=16, dtype=torch.float32)


def view_of(network: nn.Module, batch: SkeletonBatch, seed: int = 0) -> View:
    return Victim(network, none, "cpu").view(batch, "attack", seed)


def test_heads_are_residual_networks_on_rectified_logits() -> None:
    torch.manual_seed(0)
    heads, logits = Heads(2, 3), torch.randn(4, 3)
    for k, found in enumerate(heads(logits)):
        r = logits.relu()
        hidden = r @ heads.first[k] + heads.first_bias[k]
        torch.testing.assert_close(found, r + (hidden @ heads.second[k] + heads.second_bias[k]).relu())


@pytest.mark.parametrize("kind", KINDS)
def test_without_variance_every_draw_is_the_mean_network(kind: str, clips: SkeletonBatch) -> None:
    network = with_posterior(kind)
    logits = network.sampled(clips.x, context_of(clips), 2, 1.5)
    assert network.has_posterior and logits.shape == ((6, 4, 5) if kind == "appended" else (2, 4, 5))
    torch.testing.assert_close(logits.mean(dim=0), network(clips.x), rtol=1e-5, atol=1e-6)
    one = logits.view(2, -1, 4, 5)
    assert torch.equal(one[0], one[1])
    if kind == "whole":
        assert torch.equal(network(clips.x), plain()(clips.x))


@pytest.mark.parametrize("module", [nn.Linear(6, 200), Heads(3, 14)])
def test_drawn_weights_have_the_mean_and_the_scaled_deviation(module: nn.Module) -> None:
    spread = Spread(module.requires_grad_(False))
    for buffer in spread.buffers():
        buffer.fill_(0.04)
    drawn = spread.drawn(module, 10, 1.5, 0, "attack", 3)
    assert {*drawn} == {name for name, _ in module.named_parameters()}
    noise = torch.cat([(drawn[name] - weight).flatten(1) for name, weight in module.named_parameters()], dim=1)
    assert float(noise.std()) == pytest.approx(0.3, rel=0.04) and float(noise.mean()) == pytest.approx(0, abs=0.01)
    assert float((torch.corrcoef(noise) - torch.eye(10)).abs().max()) < 0.15
    again, other = (spread.drawn(module, 10, 1.5, 0, "attack", draw) for draw in (3, 4))
    for name, value in drawn.items():
        assert torch.equal(value, again[name]) and not torch.equal(value, other[name])


@pytest.mark.parametrize("kind", KINDS)
def test_calls_draw_other_networks_and_a_clip_does_not_depend_on_others(kind: str, clips: SkeletonBatch) -> None:
    network, order = with_posterior(kind, 0.1), [2, 0, 3, 1]
    first, second = (posterior(view_of(network, clips).limited("gradients")) for _ in range(2))
    one, two = first(clips.x, 2, 1.0), first(clips.x, 2, 1.0)
    assert not torch.equal(one, two) and torch.equal(one, second(clips.x, 2, 1.0))
    other = posterior(view_of(network, clips, seed=1).limited("gradients"))(clips.x, 2, 1.0)
    assert not torch.equal(one, other)
    torch.testing.assert_close(second(clips.x[order], 2, 1.0), two[:, order])


@pytest.mark.parametrize(("kind", "passes"), [("appended", 1), ("whole", 3)])
def test_passes_are_counted(kind: str, passes: int, clips: SkeletonBatch) -> None:
    view = view_of(with_posterior(kind, 0.1), clips)
    x = clips.x.clone().requires_grad_()
    logits = posterior(view.limited("gradients"))(x, 3, 1.0)
    (gradient,) = torch.autograd.grad(logits.sum(), x)
    assert gradient.any() and (view.forwards, view.gradients, len(view.answers)) == (passes, passes, 1)


def test_a_network_without_a_posterior_is_its_only_draw(clips: SkeletonBatch) -> None:
    network = plain()
    view = view_of(network, clips)
    logits = posterior(view.limited("gradients"))(clips.x, 3, 1.5)
    assert torch.equal(logits, network(clips.x)[None]) and view.forwards == 1 and not network.has_posterior

    def model(x: Tensor) -> Tensor:
        return x.flatten(1)[:, :4]

    assert torch.equal(posterior(model)(clips.x, 2, 1.0), model(clips.x)[None])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_with_a_posterior_are_read_into_the_clean_network(
    kind: str, clips: SkeletonBatch, tmp_path: Path
) -> None:
    network, read = with_posterior(kind, 1e-6), plain()
    save_weights(network, tmp_path / "w.safetensors", {"test_accuracy": 0.5})
    assert load_weights(read, tmp_path / "w.safetensors")["test_accuracy"] == 0.5
    assert read.has_posterior and torch.equal(read.eval()(clips.x), network(clips.x))
    assert all(torch.equal(buffer, torch.full_like(buffer, 1e-12)) for buffer in spread_of(read).buffers())
    assert {*read.features(clips.x)} >= {"logits"} if kind == "appended" else True


def test_the_frozen_part_stays_in_evaluation_mode_and_does_not_learn() -> None:
    model: Any = with_posterior("appended").train().model
    assert model.training and model.appended.training and not any(part.training for part in model.backbone.modules())
    learning = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert all(name.startswith("appended.") for name in learning) and len(learning) == 4

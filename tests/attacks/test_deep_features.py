"""Deep features: the bounded search against scipy, templates and guides in closed form, and victims with layers."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from black_box import PoolOf
from conftest import Linear, linear_case, make_batch
from scipy.optimize import minimize
from torch import Tensor

from skeleton_adv.attacks.deep_features import _Adam, _Known, _Quasi, deep_features, fit_templates
from skeleton_adv.constraints import Ball
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.defenses.median import TemporalMedian
from skeleton_adv.defenses.noise_filter import NoiseFilter
from skeleton_adv.models.deep import deep
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import Victim


def small(batch: SkeletonBatch) -> Network:
    torch.manual_seed(0)
    _, _, t, v, _ = batch.x.shape
    return Network(CenterPerFrame(batch.skeleton), HCN(num_joints=v, num_classes=5, num_frames=t, fc7=8)).eval()


def settled(search: Any, batch: SkeletonBatch, goal: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """The smallest loss ``|W (x + d) - goal|^2`` that a search finds, and the displacements of its last trial."""
    model, trial, least = Linear(batch), torch.zeros_like(batch.x), torch.full((len(batch),), torch.inf).double()
    for _ in range(steps):
        trial = trial.detach().requires_grad_()
        loss = (model(batch.x + trial) - goal).square().sum(dim=1)
        (gradient,) = torch.autograd.grad(loss.sum(), trial)
        least = torch.minimum(least, loss.detach())
        trial = search.following(trial.detach(), loss.detach(), torch.where(batch.movable, gradient, 0))
    return least, trial


@pytest.mark.parametrize("eps", [0.003, 0.02, 1.0])
def test_the_bounded_search_agrees_with_scipy(eps: float) -> None:
    batch = make_batch(n=3, t=2, m=1)
    goal = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    search = _Quasi(Ball("linf", eps).of(batch), 10)
    ours, trial = settled(search, batch, goal, 60)
    assert trial.abs().max() <= eps and not trial[~batch.movable].any()
    weight = Linear(batch).weight.numpy()
    for clip in range(3):
        start, free = batch.x[clip].flatten().numpy(), batch.movable[clip].flatten().numpy()

        def value(d: np.ndarray) -> tuple[float, np.ndarray]:
            left = weight @ (start + d) - goal[clip].numpy()  # noqa: B023
            return float(left @ left), 2 * weight.T @ left

        limits = [(-eps * one, eps * one) for one in free]
        best = minimize(
            value, np.zeros_like(start), jac=True, method="L-BFGS-B", bounds=limits, options={"ftol": 1e-14}
        )
        assert ours[clip].item() == pytest.approx(best.fun, rel=1e-4, abs=1e-8)


def test_projected_adam_approaches_the_same_loss() -> None:
    batch = make_batch(n=3, t=2, m=1)
    goal = torch.randn(3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    quasi, _ = settled(_Quasi(Ball("linf", 0.02).of(batch), 10), batch, goal, 60)
    adam, trial = settled(_Adam(Ball("linf", 0.02).of(batch), 0.002), batch, goal, 200)
    assert trial.abs().max() <= 0.02
    torch.testing.assert_close(adam, quasi, rtol=1e-2, atol=0)


def fitted_on(clips: SkeletonBatch, **settings: Any) -> dict[str, Tensor]:
    *_, state = fit_templates(lambda batch: Linear(batch), PoolOf(clips), None, **settings)
    return state


def test_templates_are_means_and_guides_are_right() -> None:
    model, batch = linear_case(n=6, t=2, m=1)
    clips = make_batch(n=40, t=2, m=1, seed=3)
    fitted = fitted_on(clips)
    features = model(clips.x)
    torch.testing.assert_close(fitted["features"], features)
    known = _Known(fitted, batch)
    means = torch.stack([features[clips.y == c].mean(dim=0) for c in range(3)])
    far = (model(batch.x)[:, None] - means).norm(dim=2)
    torch.testing.assert_close(known.nearest(model(batch.x))[1], far.amin(dim=1))
    assert torch.equal(known.nearest(model(batch.x))[0], far.argmin(dim=1))
    own = (features[:, None] - means).norm(dim=2).argmin(dim=1) == clips.y
    right = own & (features.argmax(dim=1) == clips.y)
    for targeted in (False, True):
        for guide in ("nearest", "random"):
            chosen, able = known.guides(model(batch.x), targeted, guide, 0)  # type: ignore[arg-type]
            same = clips.y[chosen] == batch.y
            assert able.any() and right[chosen][able].all() and (same == targeted)[able].all()
    chosen, able = known.guides(model(batch.x), False, "nearest", 0)
    allowed = right[None] & (clips.y[None] != batch.y[:, None])
    distance = torch.where(allowed, (model(batch.x)[:, None] - features).norm(dim=2), torch.inf)
    assert torch.equal(chosen[able], distance.argmin(dim=1)[able])


def test_an_interrupted_fit_continues_with_the_same_numbers() -> None:
    clips = make_batch(n=70, t=1, m=1)
    first, *_ = fit_templates(lambda batch: Linear(batch), PoolOf(clips), None)
    assert len(first["labels"]) == 32
    *_, resumed = fit_templates(lambda batch: Linear(batch), PoolOf(clips), first)
    whole = fitted_on(clips)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert len(fitted_on(clips, fit_clips=20)["labels"]) == 18


@pytest.mark.parametrize("optimiser", ["lbfgsb", "adam"])
@pytest.mark.parametrize("targeted", [False, True])
def test_it_stops_at_a_template_of_another_class(optimiser: Any, targeted: bool) -> None:
    clips = make_batch(n=60, t=2, m=1, seed=3)
    model = Linear(clips)
    clips = clips.with_labels(model(clips.x).argmax(dim=1))
    test = make_batch(n=8, t=2, m=1, seed=0)
    y = model(test.x).argmax(dim=1)
    present = clips.y.unique()
    batch = test.with_labels(present[(torch.searchsorted(present, y) + 1) % len(present)] if targeted else y)
    settings = {"optimiser": optimiser, "eps": 0.5, "lr": 0.02, "steps": 60, "targeted": targeted}
    for until in ("template", "both"):
        result = deep_features(model, batch, fitted=fitted_on(clips), until=until, **settings)
        template, distance = result.columns["template"], result.columns["template_distance"]
        assert ((template == batch.y) == targeted).all() and (result.x_adv - batch.x).abs().max() <= 0.5 + 1e-12
        known = _Known(fitted_on(clips), batch)
        torch.testing.assert_close(known.nearest(model(result.x_adv))[1], distance)
        if until == "both":
            assert result.found.all()
    # A clip whose nearest template is already a wrong one does not move.
    wrong = known.nearest(model(batch.x))[0] != batch.y
    if not targeted and wrong.any():
        still = deep_features(model, batch, fitted=fitted_on(clips), until="template", **settings).x_adv
        assert torch.equal(still[wrong], batch.x[wrong])


@pytest.mark.parametrize(
    "defense", [lambda network: network, TemporalMedian, lambda network: NoiseFilter(network, sigma=0.05, eot=3)]
)
def test_features_of_a_defended_victim_are_counted_and_differentiable(defense: Any) -> None:
    batch = make_batch(n=3, t=16, dtype=torch.float32)
    network = small(batch)
    view = Victim(network, defense, "cpu").view(batch, "attack", 0)
    x = batch.x.clone().requires_grad_()
    stages, logits = view.deep(x)
    again = Victim(network, defense, "cpu").view(batch, "attack", 0)
    torch.testing.assert_close(logits, again(x))
    assert stages[-1].shape == (3, 8) and (view.forwards, len(view.answers)) == (1, 1)
    (gradient,) = torch.autograd.grad(stages[-1].square().sum(), x)
    assert gradient[batch.movable].abs().amax() > 0 and view.gradients == 1


def test_features_behind_a_filter_are_those_of_the_filtered_clip() -> None:
    batch = make_batch(n=3, t=16, dtype=torch.float32)
    network, context = small(batch), Context(batch.mask, batch.movable, batch.index, 0, "judge", batch.skeleton)
    seen: list[Tensor] = []
    filtered = TemporalMedian(network)
    handle = network.register_forward_hook(lambda module, arguments, output: seen.append(arguments[0]))
    behind = deep(filtered, batch.x, context)
    handle.remove()
    plain = deep(network, seen[0])
    for ours, theirs in zip(behind.stages, plain.stages, strict=True):
        torch.testing.assert_close(ours, theirs)
    # One pass each of two draws: the features are their mean.
    noisy = NoiseFilter(network, sigma=0.1, taps=None, draws=2)
    mean = deep(noisy, batch.x, context).stages[-1]
    one = replace(context, draw=0)
    singles = [deep(NoiseFilter(network, sigma=0.1, taps=None, draws=1), batch.x, replace(one, draw=n)) for n in (0, 1)]
    torch.testing.assert_close(mean, (singles[0].stages[-1] + singles[1].stages[-1]) / 2)


def test_an_attack_on_layers_of_a_network_brings_features_nearer_to_the_guide() -> None:
    batch = make_batch(n=4, t=16, m=1, dtype=torch.float32)
    network = small(batch)
    victim = Victim(network, lambda network: network, "cpu")
    clips = make_batch(n=24, t=16, m=1, seed=5, dtype=torch.float32)
    clips = clips.with_labels(torch.arange(24) % 5)
    view = victim.view(batch, "attack", 0)
    batch = batch.with_labels(view(batch.x).argmax(dim=1))
    *_, fitted = fit_templates(lambda one: victim.view(one, "fit", 0).limited("gradients"), PoolOf(clips), None)
    fitted["predicted"] = fitted["labels"]
    assert fitted["features"].shape == (24, 8)
    result = deep_features(
        victim.view(batch, "attack", 0).limited("gradients"), batch, fitted=fitted, eps=0.2, steps=15, until="both"
    )
    assert (result.columns["guide"] != batch.y).all() and (result.x_adv != batch.x).flatten(1).any(dim=1).any()


def test_a_layer_that_does_not_exist_is_refused() -> None:
    model, batch = linear_case(n=2, t=1, m=1)
    fitted = fitted_on(make_batch(n=6, t=1, m=1))
    for layer in (1, -2):
        with pytest.raises(SettingError, match=rf"attack\.layer={layer} ") as caught:
            deep_features(model, batch, fitted=fitted, layer=layer)
        assert "\n" not in str(caught.value)

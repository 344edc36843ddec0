"""The joint attack on a linear classifier and a linear detector, for which the possible clips are known."""

import pytest
import torch
import torch.nn.functional as F
from conftest import linear_case
from torch import Tensor

from skeleton_adv.attacks.joint import joint
from skeleton_adv.core.batch import SkeletonBatch

EPS = 0.3


def case(alike: float) -> tuple[SkeletonBatch, "object", Tensor]:
    """Clips, classifier and detector; the detector's weights are ``alike`` parts of minus the classifier's margin."""
    model, batch = linear_case(n=4, t=4, m=1)
    rng = torch.Generator().manual_seed(1)
    weight = torch.randn(batch.x[0].numel(), generator=rng, dtype=batch.x.dtype) / batch.x[0].numel() ** 0.5

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(x)
        own = logits.gather(1, batch.y[:, None])[:, 0]
        rival = logits.scatter(1, batch.y[:, None], -torch.inf).amax(dim=1)
        return logits, alike * (rival - own) + (1 - alike) * (x.flatten(1) @ weight)

    return batch, both, both(batch.x)[1]


@pytest.mark.parametrize("norm", ["linf", "l2", "rms"])
def test_clips_fool_both_and_stay_in_the_ball(norm: str) -> None:
    """The detector's direction is nearly orthogonal to the classifier's, so that both can be fooled."""
    batch, both, clean = case(alike=0.0)
    eps = EPS * (batch.x[0].numel() / 3) ** 0.5 if norm == "l2" else EPS
    threshold = float(clean.min())  # only one of the clean clips is below
    made = joint(both, batch, threshold=threshold, start=batch.x, norm=norm, eps=eps, steps=40, weights=[1.0])  # type: ignore[arg-type]
    logits, scores = both(made.x_adv)  # type: ignore[operator]
    assert made.found.all() and (logits.argmax(dim=1) != batch.y).all() and (scores <= threshold).all()
    delta = made.x_adv - batch.x
    assert not delta[~batch.movable.expand_as(delta)].any()
    if norm == "linf":
        assert delta.abs().max() <= EPS * (1 + 1e-6)
    else:
        assert (delta.flatten(1).norm(dim=1) <= EPS * (batch.x[0].numel() / 3) ** 0.5 * (1 + 1e-6)).all()


def test_a_detector_that_measures_the_margin_cannot_be_fooled() -> None:
    """A clip that fools the classifier has a score above 0, so a threshold below 0 admits none."""
    batch, both, _ = case(alike=1.0)
    made = joint(both, batch, threshold=-0.01, start=batch.x, eps=EPS, steps=20)  # type: ignore[arg-type]
    logits, scores = both(made.x_adv)  # type: ignore[operator]
    assert not made.found.any()
    assert (logits.argmax(dim=1) != batch.y).all() and (scores < 0.2).all()  # just beyond the border
    plain = joint(both, batch, threshold=torch.inf, start=batch.x, eps=EPS, steps=20)  # type: ignore[arg-type]
    assert plain.found.all()


def test_a_target_is_reached() -> None:
    batch, both, clean = case(alike=0.0)
    goal = batch.with_labels((batch.y + 1) % 5)
    made = joint(both, goal, threshold=float(clean.max()), start=batch.x, eps=EPS, steps=40, targeted=True)  # type: ignore[arg-type]
    assert made.found.all() and torch.equal(both(made.x_adv)[0].argmax(dim=1), goal.y)  # type: ignore[operator]


def test_it_is_at_least_as_good_as_its_start() -> None:
    """A start that succeeds inside the ball is a success after one step without effect."""
    batch, both, clean = case(alike=0.0)
    threshold = float(clean.min())
    strong = joint(both, batch, threshold=threshold, start=batch.x, eps=EPS, steps=40)  # type: ignore[arg-type]
    weak = joint(both, batch, threshold=threshold, start=strong.x_adv, eps=EPS, steps=1, weights=[])  # type: ignore[arg-type]
    assert weak.found.all() and (both(weak.x_adv)[1] <= both(strong.x_adv)[1] + 1e-9).all()  # type: ignore[operator]
    outside = joint(both, batch, threshold=threshold, start=batch.x + 100, eps=EPS, steps=1, weights=[])  # type: ignore[arg-type]
    assert (outside.x_adv - batch.x).abs().max() <= EPS * (1 + 1e-6)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_confident_classifier_is_fooled_as_well(targeted: bool) -> None:
    """Its cross-entropy has no gradient at all, but its margin has the same direction at every scale of the logits."""
    batch, both, clean = case(alike=0.0)
    goal = batch.with_labels((batch.y + 1) % 5) if targeted else batch

    def confident(x: Tensor) -> tuple[Tensor, Tensor]:
        logits, scores = both(x)  # type: ignore[operator]
        return 1e5 * logits, scores

    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(confident(x)[0], batch.y), x)
    assert not gradient.any()
    settings = {"threshold": float(clean.max()), "start": batch.x, "eps": EPS, "steps": 40, "targeted": targeted}
    made = joint(confident, goal, **settings)  # type: ignore[arg-type]
    plain = joint(both, goal, **settings)  # type: ignore[arg-type]
    assert made.found.all() and plain.found.all()

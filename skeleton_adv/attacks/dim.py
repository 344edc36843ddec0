"""DIM: MI-FGSM whose gradients are taken through random crops in time and random turns of the body."""

import math
from collections.abc import Callable
from typing import Annotated

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.momentum import descend, judged, objective
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.ranges import Count, Fraction, NonNegative, Positive, Range, Whole, checked

CORRUPTED = 15  # joints that the released code sets to 0


@needs("gradients", passes=lambda steps, **_: steps + 1)
@checked
def dim(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive | None = None,
    steps: Count = 10,
    momentum: NonNegative = 1.0,
    probability: Annotated[float, Range("[0, 1]")] = 0.5,
    crop: Fraction = 0.9,
    angle: NonNegative = 10.0,
    shear: NonNegative = 0.5,
    released: bool = False,
    seed: Whole = 0,
) -> AttackResult:
    """Improving Transferability of Adversarial Examples with Input Diversity (Xie et al., arXiv 1803.06978), M-DI-FGSM.

    Before each step, with ``probability`` per clip, a crop of a random share of the frames, at least ``crop``, is
    resampled to all frames, and the body turns by up to ``angle`` degrees about the vertical axis through its middle
    (in an image: in the plane). The gradient is taken through this change. ``step`` is eps / steps unless set.
    The attack returns its last iterate. The paper resizes and pads images; the change of clips is ours.
    ``released`` is DIM as in RobustBenchHAR (arXiv 2409.02483): every clip is cropped; then either 15 joints are 0
    or the body is sheared, by up to ``shear`` (not documented there; the value is ours); the gradient at the changed
    clip is applied to the unchanged one; no momentum; the step is eps.
    """
    budget = Ball(norm, eps).of(batch)

    def gradient(delta: Tensor, number: int) -> Tensor:
        x = (batch.x + delta).requires_grad_()
        if released:
            with torch.no_grad():
                changed = corrupted(batch, crop, shear, seed, number)(x)
            inputs = x = changed.requires_grad_()
        else:
            inputs = diverse(batch, probability, crop, angle, seed, number)(x)
        (found,) = torch.autograd.grad(objective(model(inputs), batch.y, targeted).sum(), x)
        return found

    delta = descend(batch, budget, gradient, steps=steps, step=step or eps / steps, momentum=momentum)
    return judged(model, batch, delta, targeted)


Change = Callable[[Tensor], Tensor]  # clips (N, C, T, V, M) -> clips; it is linear apart from a shift


def diverse(batch: SkeletonBatch, probability: float, crop: float, angle: float, seed: int, draw: int) -> Change:
    """A random change of clips (N, C, T, V, M), which differs per clip; joints that do not exist do not change."""
    coin, share, start, turn = uniform(batch.x[:, 0, 0, :1, 0].expand(-1, 4), batch.index, seed, "dim", draw).T
    weights = crop_weights(batch, 1 - (1 - crop) * share, start)
    radians = math.radians(angle) * (2 * turn - 1)
    changes = broadcast(coin <= probability)

    def change(x: Tensor) -> Tensor:
        return torch.where(changes, turned(resampled(x, weights, batch), radians, batch), x)

    return change


def crop_weights(batch: SkeletonBatch, share: Tensor, start: Tensor) -> Tensor:
    """(N, T, T) weights of linear interpolation from all frames to a crop of them, which is as long as the clip.

    The crop has this ``share`` (N,) of the time between the first and the last frame; ``start`` (N,) in [0, 1] moves
    it from the beginning of the clip to its end.
    """
    frames = torch.arange(batch.x.shape[2], device=batch.x.device).to(batch.x.dtype)
    last = frames[-1]
    at = (start * (1 - share) * last)[:, None] + share[:, None] * frames  # (N, T) source of every new frame
    return (1 - (at[:, :, None] - frames).abs()).clamp(min=0)


def resampled(x: Tensor, weights: Tensor, batch: SkeletonBatch) -> Tensor:
    """x (N, C, T, V, M) interpolated between frames in which a joint exists; elsewhere the joint does not change."""
    known = torch.einsum("nts,ncsvm->nctvm", weights, batch.mask.to(x.dtype))
    mixed = torch.einsum("nts,ncsvm->nctvm", weights, torch.where(batch.mask, x, 0))
    return torch.where(batch.mask & (known > 1e-3), mixed / known.clamp(min=1e-3), x)


def turned(x: Tensor, radians: Tensor, batch: SkeletonBatch) -> Tensor:
    """x (N, C, T, V, M) turned by ``radians`` (N,) about the vertical axis (y) through the middle of the clean joints.

    Joints in an image turn in the plane.
    """
    coords = batch.skeleton.coords
    first, second = (coords[0], coords[2]) if len(coords) == 3 else coords
    middle = _middle(batch)
    cosine, sine = broadcast(radians.cos())[:, 0], broadcast(radians.sin())[:, 0]
    a, b = x[:, first] - middle[:, first], x[:, second] - middle[:, second]
    channels = list(x.unbind(dim=1))
    channels[first] = cosine * a - sine * b + middle[:, first]
    channels[second] = sine * a + cosine * b + middle[:, second]
    return torch.where(batch.mask, torch.stack(channels, dim=1), x)


def _middle(batch: SkeletonBatch) -> Tensor:
    """(N, C, 1, 1, 1) the mean of the clean clip's existing joints."""
    count = batch.mask.flatten(1).sum(dim=1).clamp(min=1)
    return torch.where(batch.mask, batch.x, 0).sum(dim=(2, 3, 4), keepdim=True) / broadcast(count)


def corrupted(batch: SkeletonBatch, crop: float, shear: float, seed: int, draw: int) -> Change:
    """RobustBenchHAR's change: a crop of at least ``crop``; then 15 joints are 0, or the body is sheared."""
    n, joints, size = len(batch), batch.skeleton.num_joints, batch.skeleton.channels
    like = batch.x[:, 0, 0, :1, 0].expand(-1, 3 + joints + size * size)
    numbers = uniform(like, batch.index, seed, "dim released", draw)
    coin, share, start = numbers[:, :3].T
    weights, middle = crop_weights(batch, 1 - (1 - crop) * share, start), _middle(batch)
    ranks = numbers[:, 3 : 3 + joints].argsort(dim=1).argsort(dim=1)
    lost = (ranks < min(CORRUPTED, joints - 1)).view(n, 1, 1, joints, 1)
    spatial = torch.zeros(size, dtype=torch.bool, device=batch.x.device).index_fill(0, batch.coords, True)
    own = torch.eye(size, dtype=torch.bool, device=batch.x.device)
    across = shear * (2 * numbers[:, 3 + joints :].view(n, size, size) - 1)
    matrix = torch.where(spatial & spatial[:, None] & ~own, across, own.to(across.dtype))

    def change(x: Tensor) -> Tensor:
        x = resampled(x, weights, batch)
        sheared = torch.einsum("ndc,nctvm->ndtvm", matrix, x - middle) + middle
        changed = torch.where(broadcast(coin < 0.5), torch.where(lost, 0, x), sheared)
        return torch.where(batch.mask, changed, x)

    return change

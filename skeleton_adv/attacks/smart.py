"""SMART: an attack that keeps the motion natural with a perceptual loss."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.attacks.momentum import judged, objective
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist
from skeleton_adv.core.ranges import Count, Fraction, Positive, checked
from skeleton_adv.core.skeleton import Skeleton

Goal = Literal["ab", "abn"]
NO_BUDGET = 1e6  # metres
SPINE = ("spine", "neck", "thorax", "back", "center")  # parts of the names of a body's inner joints


@needs("gradients", passes=lambda steps, **_: steps + 1)
@checked
def smart(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive | None = None,
    step: Positive = 0.01,
    steps: Count = 1000,
    goal: Goal = "ab",
    n: Count = 3,
    weight: Fraction = 0.6,
    mix: Literal["official", "rbhar"] = "official",
    bone: Fraction = 0.7,
    reconstruction: Fraction = 0.4,
    per_frame: bool = True,
    longest: Positive = 100.0,
    stretch: Positive = 1.0,
) -> AttackResult:
    """Understanding the Robustness of Skeleton-based Action Recognition under Adversarial Attack (Wang et al., arXiv
    2103.05347), as in the official code.

    Each update descends ``weight`` times the gradient of the goal plus 1 - ``weight`` times that of the perceptual
    loss, each divided by its l2 norm; the sum is multiplied by ``step`` (metres). A clip stops when it has reached its
    goal. There is no budget unless ``eps`` is set.

    - ``goal``: ``ab``: a wrong class (anything but the true one); ``abn``: the true class is not among the ``n``
      likeliest, for which the attack descends the mean squared difference between probabilities and 1 / K. The goal of
      a targeted attack (SA) is its target
    - ``per_frame``: gradients are divided by their norm per frame, otherwise by that of the clip
    - ``mix``, ``bone``, ``reconstruction``: the weights of the perceptual loss (``perceptual_weights``), which sums
      squared changes of bone lengths, accelerations and positions
    - ``longest``, ``stretch``: an update whose l2 norm exceeds ``longest`` metres gets ``stretch`` times this length

    ``found`` refers to the predicted class, for ``abn`` too.
    Differs from the official code: accelerations are per second squared of the resampled clip (there, always 30 Hz);
    clips stop one by one; the optional Adam, whose moments are 0 at every step, is left out; ``abn`` has uniform
    probabilities (there, zeros). RobustBenchHAR (``smart_rbhar``): its mix, gradients divided per clip, updates
    longer than 0.01 have length 0.05 (none is longer if ``step`` is 0.01), and a ball of 0.01, which is in standardised
    units there.
    """
    budget, movable = Ball(norm, eps or NO_BUDGET).of(batch), batch.movable
    perceived = perceptual_loss(batch, perceptual_weights(mix, bone, reconstruction))
    delta = torch.zeros_like(batch.x)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        logits = model(batch.x + delta)
        (towards,) = torch.autograd.grad(_loss(logits, batch.y, targeted, goal).sum(), delta)
        (natural,) = torch.autograd.grad(perceived(delta).sum(), delta)
        with torch.no_grad():
            missed = ~_reached(logits, batch.y, targeted, n if goal == "abn" else 1)
            towards, natural = (normalised(torch.where(movable, g, 0), per_frame) for g in (towards, natural))
            update = step * (weight * towards + (1 - weight) * natural)
            size = broadcast(update.flatten(1).norm(dim=1))
            update = torch.where(size > longest, update * (stretch * longest / size.clamp(min=1e-30)), update)
            delta = torch.where(broadcast(missed), budget.shortened(delta - update), delta)
    return judged(model, batch, delta.detach(), targeted)


def perceptual_weights(
    mix: Literal["official", "rbhar"], bone: float, reconstruction: float
) -> tuple[float, float, float]:
    """The weights of bone lengths, accelerations and positions: by default .42, .18, .40, and .70, .12, .18 (rbhar)."""
    if mix == "official":
        return (1 - reconstruction) * bone, (1 - reconstruction) * (1 - bone), reconstruction
    return bone, (1 - bone) * reconstruction, (1 - bone) * (1 - reconstruction)


def perceptual_loss(batch: SkeletonBatch, weights: tuple[float, float, float]) -> Callable[[Tensor], Tensor]:
    """The loss (N,) of a displacement (N, C, T, V, M), over existing joints; 0 at 0.

    Squared changes of bone lengths, of accelerations (m/s^2) and of positions, summed over the clip. Positions weigh
    0.02, those of the spine 0.04.
    """
    body, exists = batch.skeleton, replace(batch, allowed=None).movable
    clean, bones = bone_lengths(batch.x, body), bones_exist(batch)
    joints = torch.tensor([0.04 if joint in spine_of(body) else 0.02 for joint in range(body.num_joints)])
    joints = joints.to(batch.x).view(1, 1, 1, -1, 1)
    threes = batch.mask[:, :, 2:] & batch.mask[:, :, 1:-1] & batch.mask[:, :, :-2]
    seconds = batch.dt.to(batch.x).pow(4)

    def loss(delta: Tensor) -> Tensor:
        moved = torch.where(exists, delta, 0)
        change = torch.where(bones, bone_lengths(batch.x + moved, body) - clean, 0).square().flatten(1).sum(dim=1)
        second = moved[:, :, 2:] - 2 * moved[:, :, 1:-1] + moved[:, :, :-2]
        jolts = torch.where(threes, second, 0).square().flatten(1).sum(dim=1) / seconds
        away = (joints * moved.square()).flatten(1).sum(dim=1)
        return weights[0] * change + weights[1] * jolts + weights[2] * away

    return loss


def spine_of(skeleton: Skeleton) -> frozenset[int]:
    """The joints between the hips and the head, by their names; the paper lists those of HDM05."""
    named = (joint for joint, name in enumerate(skeleton.joints) if any(part in name for part in SPINE))
    return frozenset(joint for joint in named if joint != skeleton.root)


def normalised(gradient: Tensor, per_frame: bool) -> Tensor:
    """A gradient (N, C, T, V, M) divided by its l2 norm, of each frame or of the clip; 0 stays 0."""
    dims = (1, 3, 4) if per_frame else (1, 2, 3, 4)
    return gradient / gradient.square().sum(dim=dims, keepdim=True).sqrt().clamp(min=1e-30)


def _loss(logits: Tensor, y: Tensor, targeted: bool, goal: Goal) -> Tensor:
    if goal == "abn" and not targeted:
        return (logits.softmax(dim=1) - 1 / logits.shape[1]).square().mean(dim=1)
    return objective(logits, y, targeted)


def _reached(logits: Tensor, y: Tensor, targeted: bool, n: int) -> Tensor:
    """(N,) bool: whether the target is predicted, or the true class is not among the ``n`` likeliest."""
    if targeted or n == 1:
        return fooled(logits, y, targeted)
    true = logits.gather(1, y[:, None])
    return ((logits > true).sum(dim=1) >= n) & logits.isfinite().all(dim=1)

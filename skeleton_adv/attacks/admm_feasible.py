"""ADMM inside the limits of the body: steps along the gradient, each followed by a projection."""

from collections.abc import Mapping

import torch

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import Constraint
from skeleton_adv.constraints.ball import unit
from skeleton_adv.constraints.projection import Projection
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, checked


@needs("gradients", passes=lambda steps, polish_every, **_: steps + -(-steps // polish_every))
@checked
def admm_feasible(
    model: Model,
    batch: SkeletonBatch,
    *,
    constraints: Mapping[str, Constraint],
    targeted: bool = False,
    steps: Count = 80,
    step: Positive = 0.1,
    inner_steps: Count = 4,
    polish_every: Count = 20,
) -> AttackResult:
    """A clip that fools the model within Zheng et al.'s limits (arXiv 2005.07151, Eqs. 4 to 7); the method is ours.

    The paper's ADMM puts the limits into a Lagrangian, and its clips violate them. Here, each step moves along
    the gradient of the margin by an l2 of ``step`` metres, and ``inner_steps`` steps of ADMM project the result
    on the limits (``constraints.projection``); they go on from the vectors and duals of the previous step. After
    every ``polish_every`` steps, the clip is projected until it is feasible and then tried on the model. The attack
    returns the last clip that fooled it, or the last one if there is none. Every returned clip is feasible.
    """
    projection = Projection(constraints, batch)
    y, found = projection.clean, torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    at, best = projection.begin(y), batch.x
    for done in range(1, steps + 1):
        x = projection.clips(y).requires_grad_()
        (gradient,) = torch.autograd.grad(margin(model(x), batch.y, targeted).sum(), x)
        with torch.no_grad():
            towards = y - step * unit(projection.coordinates(torch.where(batch.movable, gradient, 0)))
            for _ in range(inner_steps):
                y = projection.step(at, towards)
            if done % polish_every == 0 or done == steps:
                x = projection.project(projection.clips(y))
                success = fooled(model(x), batch.y, targeted)
                best = torch.where((success | ~found).view(-1, 1, 1, 1, 1), x, best)
                found = found | success
    return AttackResult(best, found)

"""ADMM inside the limits of the body: steps along the gradient, each followed by a projection."""

from collections.abc import Mapping

import torch

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.start import Start, start_passes, started
from skeleton_adv.constraints import Constraint
from skeleton_adv.constraints.ball import unit
from skeleton_adv.constraints.projection import Projection
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal
from skeleton_adv.core.ranges import Count, Positive, Whole, checked


def _passes(steps: int, polish_every: int, restarts: int, start: Start, start_steps: int, **_: object) -> int:
    return restarts * (steps + -(-steps // polish_every)) + start_passes(start, start_steps)


@needs("gradients", {"found_after": "int"}, _passes)
@checked
def admm_feasible(
    model: Model,
    batch: SkeletonBatch,
    *,
    constraints: Mapping[str, Constraint],
    targeted: bool = False,
    steps: Count = 80,
    step: Positive = 0.1,
    falling: bool = False,
    inner_steps: Count = 4,
    polish_every: Count = 20,
    start: Start = "clean",
    start_steps: Count = 100,
    restarts: Count = 1,
    noise: Positive = 0.02,
    seed: Whole = 0,
) -> AttackResult:
    """A clip that fools the model within Zheng et al.'s limits (arXiv 2005.07151, Eqs. 4 to 7); the method is ours.

    The paper's ADMM puts the limits into a Lagrangian, and its clips violate them. Here, each step moves along
    the gradient of the margin by an l2 of ``step`` metres, and ``inner_steps`` steps of ADMM project the result
    on the limits (``constraints.projection``); they go on from the vectors and duals of the previous step. After
    every ``polish_every`` steps, the clip is projected until it is feasible and then tried on the model. The attack
    returns the last clip that fooled it, or the last one if there is none. Every returned clip is feasible.

    - ``falling``: the length of a step falls to 0 linearly, so that the limits outweigh the gradient in the end
    - ``start``: where it begins: the clean clip, or a short displacement that fools the model, found in ``start_steps``
      steps of DDN (``ddn``) or of DDN and then C&W (``cw``); this displacement is rarely feasible
    - ``restarts``: how often it begins; from the second time on, Gaussian noise is added to the start, with a standard
      deviation of ``noise`` metres per coordinate

    The column ``found_after`` is the number of steps, over all restarts, after which the first clip fooled the model,
    -1 if none did.
    """
    projection = Projection(constraints, batch)
    origin = projection.coordinates(started(model, batch, targeted, start, start_steps))
    found = torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    best, after = batch.x, torch.full_like(batch.index, -1)
    for restart in range(restarts):
        y = origin
        if restart:
            y = y + noise * projection.coordinates(normal(batch.x, batch.index, seed, "admm_feasible", restart))
        at = projection.begin(y)
        for done in range(1, steps + 1):
            x = projection.clips(y).requires_grad_()
            (gradient,) = torch.autograd.grad(margin(model(x), batch.y, targeted).sum(), x)
            with torch.no_grad():
                length = step * (1 - (done - 1) / steps) if falling else step
                towards = y - length * unit(projection.coordinates(torch.where(batch.movable, gradient, 0)))
                for _ in range(inner_steps):
                    y = projection.step(at, towards)
                if done % polish_every == 0 or done == steps:
                    x = projection.project(projection.clips(y))
                    success = fooled(model(x), batch.y, targeted)
                    best = torch.where((success | ~found).view(-1, 1, 1, 1, 1), x, best)
                    after = torch.where(success & ~found, restart * steps + done, after)
                    found = found | success
    return AttackResult(best, found, columns={"found_after": after})

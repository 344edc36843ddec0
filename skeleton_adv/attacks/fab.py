"""FAB: the smallest perturbation, by projections onto linearised decision borders."""

from dataclasses import dataclass

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.best import Best
from skeleton_adv.attacks.dlr import clean_logits, ranked
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.stages import charge
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import Budget, broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Fraction, Positive, checked


@needs("gradients", minimises="norm")
@checked
def fab(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "l2",
    eps: Positive | None = None,
    steps: Count = 100,
    targets: Count = 9,
    overshoot: Positive = 1.05,
    backward: Fraction = 0.9,
    bias: Fraction = 0.1,
) -> AttackResult:
    """Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack (Croce and Hein, arXiv
    1907.02044), the targeted form of AutoAttack (FAB-T).

    Runs once for each of the ``targets`` classes (at most K - 1) that have the largest logits for the clean clip. A
    step linearises the lead over that class at the iterate, projects the iterate and the clean clip onto the
    hyperplane where it is 0, and mixes the two, each moved by ``overshoot`` times its projection; the clean clip has a
    share of at most ``bias``. An iterate that fools the model is pulled back to the fraction ``backward`` of its
    displacement.

    The attack returns the shortest displacement in ``norm`` that fools the model, per clip. With ``eps`` (metres), a
    displacement that is longer is shortened to ``eps``; without it, an attack that fails returns its last iterate.
    Differs from the paper: coordinates have no bounds, so a projection is a closed form (l-infinity: equal steps along
    the sign of the gradient); no random restarts and no final search, as in AutoAttack.
    """
    search = Search(model, batch, Ball(norm, eps or 1.0).of(batch), targeted, steps, overshoot, backward, bias)
    best, everyone = Best.none(batch), torch.ones_like(batch.y, dtype=torch.bool)
    last = torch.zeros_like(batch.x)
    for goal in search.goals(targets):
        best, last = search.run(goal, best, everyone)
    delta = torch.where(broadcast(best.found), best.x - batch.x, last)
    x_adv = torch.where(broadcast(best.found), best.x, batch.x + last)
    if eps is not None:
        outside = search.size(delta) > 1
        x_adv = torch.where(broadcast(outside), batch.x + search.budget.shortened(delta), x_adv)
    with torch.no_grad():
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))


@dataclass(frozen=True)
class Search:
    """FAB on the clips of a batch; ``stops`` ends a run when each clip is fooled within the budget."""

    model: Model
    batch: SkeletonBatch
    budget: Budget
    targeted: bool = False
    steps: int = 100
    overshoot: float = 1.05
    backward: float = 0.9
    bias: float = 0.1
    stops: bool = False

    def goals(self, targets: int = 9) -> list[Tensor | None]:
        """The class (N,) of each run; None for a targeted attack, whose run leads to ``batch.y``."""
        if self.targeted:
            return [None]
        return [*ranked(clean_logits(self.model, self.batch), self.batch.y, targets).T]

    def run(self, goal: Tensor | None, best: Best, among: Tensor) -> tuple[Best, Tensor]:
        """The better of ``best`` and the iterates for the clips ``among`` (N,), and the last displacement.

        The score is the size, in units of the budget.
        """
        batch, delta = self.batch, torch.zeros_like(self.batch.x)
        for step in range(self.steps):
            x = (batch.x + delta).requires_grad_()
            lead = self._lead(self.model(x), goal)
            (gradient,) = torch.autograd.grad(lead.sum(), x)
            with torch.no_grad():
                gradient = torch.where(batch.movable & gradient.isfinite(), gradient, 0)
                direction = self.budget.radius / self.budget.one * self.budget.steepest(gradient)
                slope = _dot(gradient, direction).clamp(min=1e-12)
                # Steps along the direction, whose size is 1, to the hyperplane: from the iterate and the clean clip.
                near, far = -lead / slope, (_dot(gradient, delta) - lead) / slope
                share = broadcast((near.abs() / (near.abs() + far.abs()).clamp(min=1e-12)).clamp(max=self.bias))
                moved = delta + self.overshoot * broadcast(near) * direction
                delta = (1 - share) * moved + share * self.overshoot * broadcast(far) * direction
                x = batch.x + delta
                success = fooled(self.model(x), batch.y, self.targeted)
                closed = best.found & (best.score <= 1) if self.stops else torch.zeros_like(among)
                best = best.improved(x, self.size(delta), success, among & success & ~closed)
                last, delta = delta, torch.where(broadcast(success), self.backward * delta, delta)
            if self.stops and step % 10 == 9:
                left = among & ~(best.found & (best.score <= 1))
                charge(self.model, left)
                if not bool(left.any()):
                    break
        return best, last

    def size(self, delta: Tensor) -> Tensor:
        """(N,) the size of displacements (N, C, T, V, M): 1 at the border of the budget."""
        if self.budget.norm == "linf":
            return (delta.abs() / self.budget.radius.clamp(min=1e-30)).flatten(1).amax(dim=1)
        size: Tensor = delta.flatten(1).norm(dim=1) / self.budget.radius.flatten()
        return size

    def _lead(self, logits: Tensor, goal: Tensor | None) -> Tensor:
        """(N,) the amount by which the true class leads ``goal``, or any class leads the target."""
        if goal is None:
            return margin(logits, self.batch.y, True)
        return (logits.gather(1, self.batch.y[:, None]) - logits.gather(1, goal[:, None]))[:, 0]


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """(N,) inner products of displacements (N, C, T, V, M)."""
    return (a * b).flatten(1).sum(dim=1)

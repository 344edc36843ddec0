"""Auto-PGD: projected gradient descent that sets its own step size; the core of AutoAttack."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any, Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.best import Best
from skeleton_adv.attacks.dlr import clean_logits, dlr, ranked, targeted_dlr
from skeleton_adv.attacks.losses import cross_entropy, fooled, margin
from skeleton_adv.attacks.stages import Staged, State, kept
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import Budget, broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Fraction, Positive, Whole, checked

Loss = Literal["cross_entropy", "dlr", "targeted_dlr", "margin"]
Objective = Callable[[Tensor], Tensor]  # logits (N, K) -> (N,) the loss to minimise


def _passes(steps: int, restarts: int, eot: int, loss: Loss, **_: Any) -> int | None:
    """None where the number depends on the classes, or on the clips that are left for the next run."""
    return None if loss == "targeted_dlr" or restarts > 1 else (steps + 1) * eot


def _staged(
    targeted: bool,
    norm: Norm,
    eps: float,
    steps: int,
    restarts: int,
    loss: Loss,
    targets: int,
    eot: int,
    alpha: float,
    rho: float,
    seed: int,
) -> Staged:
    """One stage for each run; a clip that is fooled is done."""
    ball, aimed = Ball(norm, eps), loss == "targeted_dlr" and not targeted

    def begin(model: Model, batch: SkeletonBatch) -> State:
        goals = batch.y[:, None]
        if aimed:
            goals = Search(model, batch, ball.of(batch), targeted, steps, eot).goals(targets)
        best = Best.none(batch)
        return {"done": best.found, "stage": torch.zeros_like(batch.y), "goals": goals, **best.as_state("best")}

    def advance(model: Model, batch: SkeletonBatch, state: State) -> State:
        number, best = int(state["stage"].max()), Best.of_state(state, "best")
        search = Search(model, batch, ball.of(batch), targeted, steps, eot, alpha, rho)
        many = state["goals"].shape[1]
        objective = search.objective(loss, state["goals"][:, number % many] if aimed else None)
        best, _ = search.run(objective, search.budget.draw(seed, f"apgd {loss}", number), best, ~best.found)
        done = best.found | (number + 1 == restarts * many)
        return kept(state, {**state, **best.as_state("best"), "stage": state["stage"] + 1, "done": done})

    def end(batch: SkeletonBatch, state: State) -> AttackResult:
        return AttackResult(state["best_x"], state["best_found"])

    return Staged(begin, advance, end, fixed=True)


@needs("gradients", passes=_passes, stages=_staged)
@checked
def apgd(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    steps: Count = 100,
    restarts: Count = 1,
    loss: Loss = "cross_entropy",
    targets: Count = 9,
    eot: Count = 1,
    alpha: Fraction = 0.75,
    rho: Fraction = 0.75,
    seed: Whole = 0,
) -> AttackResult:
    """Reliable evaluation of adversarial robustness (Croce and Hein, arXiv 2003.01690), Algorithm 1.

    The step begins at twice ``eps`` (metres) and is halved at checkpoints, per clip: if less than a share ``rho`` of
    the steps lowered the loss, or if neither the step nor the lowest loss has changed since the last checkpoint. In
    both cases, the clip continues from the iterate with its lowest loss. ``alpha`` weighs the new step against the
    previous one (momentum).

    - ``loss``: ``targeted_dlr`` runs once for each of the ``targets`` classes (at most K - 1) that have the largest
      logits for the clean clip; with fewer than 4 classes (``dlr``: 3) the loss is the margin
    - ``restarts``: runs from different random starts (for each target); a clip that fools the model skips later runs
    - ``eot``: draws per step of a model that draws noise. Loss and gradient are means over draws, and a clip counts as
      a success if it fools the model in most draws

    The attack returns the iterate with the lowest margin, per clip, among those that fool the model if there are any.
    A run always takes all its steps, because a model that draws noise may be fooled once by chance.
    Differs from the released code: coordinates have no bounds; random starts fill the ball; the condition on ``rho`` is
    strict, as in the paper; after a halving, the loss is compared with the lowest loss; ``eot`` averages the loss too,
    not only its gradient.
    """
    staged = _staged(targeted, norm, eps, steps, restarts, loss, targets, eot, alpha, rho, seed)
    return staged.whole(model, batch)


@dataclass(frozen=True)
class Search:
    """APGD on the clips of a batch; ``stops`` ends a run when each clip is fooled."""

    model: Model
    batch: SkeletonBatch
    budget: Budget
    targeted: bool = False
    steps: int = 100
    eot: int = 1
    alpha: float = 0.75
    rho: float = 0.75
    stops: bool = False

    def goals(self, targets: int) -> Tensor:
        """(N, J) the classes to which the runs of the targeted DLR lead."""
        logits = torch.stack([clean_logits(self.model, self.batch) for _ in range(self.eot)]).mean(dim=0)
        return ranked(logits, self.batch.y, targets)

    def objective(self, loss: Loss, goal: Tensor | None = None) -> Objective:
        """The loss of one run; ``goal`` (N,) is the class to which the targeted DLR leads."""
        if goal is not None:
            return partial(_lead, y=self.batch.y, target=goal)
        return partial(_loss, y=self.batch.y, loss=loss, targeted=self.targeted)

    def run(self, objective: Objective, start: Tensor, best: Best, among: Tensor) -> tuple[Best, Tensor]:
        """Minimise ``objective`` from the displacements ``start`` (N, C, T, V, M); Algorithm 1.

        Returns the better of ``best`` and the iterates for the clips ``among`` (N,), and (N,) bool: whether the
        gradient was exactly 0 at an iterate before the clip was fooled.
        """
        checkpoints, length = schedule(self.steps), 2 * self.budget.radius / self.budget.one
        delta = before = start
        here, best = self._look(delta, objective, best, among)
        lowest, at_lowest, flat = here, delta, here.flat & ~best.found
        falls, checked, halved, last = torch.zeros_like(here.loss), here.loss, torch.zeros_like(among), 0
        for step in range(1, self.steps + 1):
            moved = self.budget.shortened(delta - length * self.budget.steepest(here.gradient))
            if step > 1:
                moved = delta + self.alpha * (moved - delta) + (1 - self.alpha) * (delta - before)
            before, delta, previous = delta, self.budget.shortened(moved), here.loss
            here, best = self._look(delta, objective, best, among, differentiate=step < self.steps)
            flat = flat | (here.flat & ~best.found)
            falls += here.loss < previous
            lower = here.loss < lowest.loss
            lowest, at_lowest = here.or_else(lower, lowest), torch.where(broadcast(lower), delta, at_lowest)
            if step in checkpoints:
                halved = (falls < self.rho * (step - last)) | (~halved & (lowest.loss >= checked))
                length = torch.where(broadcast(halved), length / 2, length)
                here, delta = lowest.or_else(halved, here), torch.where(broadcast(halved), at_lowest, delta)
                falls, checked, last = torch.zeros_like(falls), lowest.loss, step
                if self.stops and bool((best.found | ~among).all()):
                    break
        return best, flat

    def _look(
        self, delta: Tensor, objective: Objective, best: Best, among: Tensor, differentiate: bool = True
    ) -> tuple["_Point", Best]:
        """The loss and its gradient at displacements (N, C, T, V, M), and the better of ``best`` and these clips."""
        x = (self.batch.x + delta).detach().requires_grad_(differentiate)
        gradient, loss = torch.zeros_like(x), torch.zeros_like(x[:, 0, 0, 0, 0])
        lead, hits = loss, loss
        for _ in range(self.eot):
            with torch.set_grad_enabled(differentiate):
                logits = self.model(x)
                one = objective(logits)
            if differentiate:
                gradient = gradient + torch.autograd.grad(one.sum(), x)[0]
            with torch.no_grad():
                loss, lead = loss + one.detach(), lead + margin(logits, self.batch.y, self.targeted)
                hits = hits + fooled(logits, self.batch.y, self.targeted)
        # Not a product, because 0 times infinity is NaN; a clip with a NaN would never move again.
        gradient = torch.where(self.batch.movable & gradient.isfinite(), gradient / self.eot, 0)
        flat = ~gradient.flatten(1).any(dim=1) & differentiate
        among = among & ~best.found if self.stops else among
        best = best.improved(x, lead / self.eot, hits > self.eot / 2, among)
        return _Point(loss / self.eot, gradient, flat), best


@dataclass(frozen=True)
class _Point:
    loss: Tensor  # (N,)
    gradient: Tensor  # (N, C, T, V, M), 0 at immovable entries
    flat: Tensor  # (N,) bool: whether the gradient is exactly 0

    def or_else(self, chosen: Tensor, other: "_Point") -> "_Point":
        """This point where ``chosen`` (N,) is true, otherwise the other."""
        gradient = torch.where(broadcast(chosen), self.gradient, other.gradient)
        return _Point(torch.where(chosen, self.loss, other.loss), gradient, self.flat)


def schedule(steps: int) -> set[int]:
    """The checkpoints of a run: each period is 0.03 shorter than the last, from 0.22 down to 0.06 of the steps."""
    found, share, period = set(), 0.0, 0.22
    while share + period <= 1 + 1e-9:
        share += period
        found.add(ceil(share * steps - 1e-9))
        period = max(period - 0.03, 0.06)
    return found


def _loss(logits: Tensor, y: Tensor, loss: Loss, targeted: bool) -> Tensor:
    if loss == "cross_entropy":
        return cross_entropy(logits, y) * (1 if targeted else -1)
    return margin(logits, y, targeted) if loss == "margin" else dlr(logits, y, targeted)


def _lead(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    return targeted_dlr(logits, y, target)

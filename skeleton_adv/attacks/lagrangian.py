"""ADMM with a stop: dual ascent on the multipliers of constraints, until a clip hardly changes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model
from skeleton_adv.attacks.shortest import length, per_clip
from skeleton_adv.attacks.stages import Staged, State, charge, kept
from skeleton_adv.constraints import Constraint, Limits
from skeleton_adv.core.batch import SkeletonBatch

Reduction = Literal["mean", "mean_all", "sum"]
Keep = Literal["last", "best"]
Loss = Callable[[Tensor, Tensor], Tensor]  # logits (N, K), classes (N,) -> (N,)

WINDOW = 5  # outer steps over which a clip may not change
LAST = 5  # outer steps in which the learning rate falls
BETAS, TINY = (0.9, 0.999), 1e-8  # of Adam


@dataclass(frozen=True)
class Lagrangian:
    """The steps of ADMM, in stages of one outer step; a clip is done soon after it hardly changes.

    A clip is *still* if, at the last pass of an outer step, it is a success, its margin is met (``met``), and neither
    its l2 nor its mean violation (over entries, then over constraints) differs by more than a share ``stop`` from
    ``WINDOW`` outer steps before. A constant learning rate keeps shaking its joints, so its last ``LAST`` outer steps,
    or those that are left, follow, in which the learning rate falls to 0. If the last iterate is no success, the last
    one of these steps that is a success is the result. Clips at different outer steps share passes.
    """

    constraints: Mapping[str, Constraint]
    objective: Loss
    success: Loss
    met: Loss
    beta: float
    outer_steps: int
    inner_steps: int
    lr: float
    reduction: Reduction
    keep: Keep
    stop: float

    @property
    def staged(self) -> Staged:
        return Staged(self._begin, self._advance, self._end, kind=lambda stage: 0)

    def _begin(self, model: Model, batch: SkeletonBatch) -> State:
        limits, nothing = self._limits(batch), torch.full_like(batch.dt, torch.inf)
        return {
            "done": torch.zeros_like(batch.y, dtype=torch.bool),
            "stage": torch.zeros_like(batch.y),
            "found": torch.zeros_like(batch.y, dtype=torch.bool),
            "x": batch.x,
            "first": torch.zeros_like(batch.x),  # Adam's moments
            "second": torch.zeros_like(batch.x),
            "still": torch.zeros_like(batch.y),  # 0, or the number of the outer step in which the clip is still
            "good": batch.x,  # the last success after it
            "has_good": torch.zeros_like(batch.y, dtype=torch.bool),
            "best": batch.x,
            "least": nothing,
            "past": nothing[:, None, None].expand(-1, WINDOW, 2),
            **{f"dual {name}": torch.zeros_like(limit.tolerance) for name, limit in limits.items()},
        }

    def _advance(self, model: Model, batch: SkeletonBatch, state: State) -> State:
        """One outer step; clips that are done do not change."""
        limits, new = self._limits(batch), dict(state)
        weights = {name: weights_of(limit, self.reduction) for name, limit in limits.items()}
        for inner in range(self.inner_steps):
            x = new["x"].detach().requires_grad_()
            logits = model(x)
            violations = {name: limit.violation(x) for name, limit in limits.items()}
            terms = [
                (weights[name] * (new[f"dual {name}"] * h + self.beta / 2 * h.square())).sum(dim=1)
                for name, h in violations.items()
            ]
            (gradient,) = torch.autograd.grad((self.objective(logits, batch.y) + sum(terms)).sum(), x)
            with torch.no_grad():
                success = self.success(logits, batch.y)
                if self.keep == "best":
                    new["best"], new["least"] = better(new["best"], new["least"], x, violations, success)
                good = success & (state["still"] > 0)
                new["good"] = torch.where(per_clip(good), x.detach(), new["good"])
                new["has_good"] = new["has_good"] | good
                if inner == self.inner_steps - 1:
                    still, new["past"] = self._still(new["past"], x, violations, batch, limits)
                    begins = still & success & self.met(logits, batch.y) & (state["still"] == 0)
                    new["still"] = torch.where(begins, new["stage"] + 1, state["still"])
                new["x"] = self._adam(new, torch.where(batch.movable, gradient, 0), inner, self._rate(state, inner))
        with torch.no_grad():
            return self._after(model, batch, state, new, limits)

    def _rate(self, state: State, inner: int) -> Tensor:
        """(N,) the learning rate of a step."""
        gone = (state["stage"] - state["still"]).double() * self.inner_steps + inner
        share = torch.where(state["still"] > 0, 1 - gone / (LAST * self.inner_steps), 1.0)
        return self.lr * share

    def _after(
        self, model: Model, batch: SkeletonBatch, state: State, new: dict[str, Tensor], limits: Mapping[str, Limits]
    ) -> State:
        """The state after an outer step; clips that are at their end are judged in a separate pass."""
        new["stage"] = state["stage"] + 1
        settled = (new["still"] > 0) & (new["stage"] == new["still"] + LAST)
        new["done"] = settled | (new["stage"] == self.outer_steps)
        for name, limit in limits.items():
            new[f"dual {name}"] = new[f"dual {name}"] + self.beta * limit.violation(new["x"])
        left = new["done"] & ~state["done"]
        if bool(left.any()):
            charge(model, left)
            found = self.success(model(new["x"]), batch.y)
            if self.keep == "best":
                violations = {name: limit.violation(new["x"]) for name, limit in limits.items()}
                new["best"], new["least"] = better(new["best"], new["least"], new["x"], violations, found & left)
            earlier = ~found & new["has_good"]
            new["x"] = torch.where(per_clip(left & earlier), new["good"], new["x"])
            new["found"] = left & (found | earlier)
        return kept(state, new)

    def _still(
        self,
        past: Tensor,
        x: Tensor,
        violations: Mapping[str, Tensor],
        batch: SkeletonBatch,
        limits: Mapping[str, Limits],
    ) -> tuple[Tensor, Tensor]:
        """(N,) bool: whether l2 and mean violation are those of ``WINDOW`` outer steps before, and the new past."""
        shares = [h.sum(dim=1) / limits[name].exists.sum(dim=1).clamp(min=1) for name, h in violations.items()]
        mean = sum(shares, torch.zeros_like(batch.dt)) / max(len(shares), 1)
        now = torch.stack([length(x - batch.x), mean], dim=1)
        still = ((now - past[:, 0]).abs() <= self.stop * past[:, 0]).all(dim=1) & past[:, 0].isfinite().all(dim=1)
        return still, torch.cat([past[:, 1:], now[:, None]], dim=1)

    def _adam(self, new: dict[str, Tensor], gradient: Tensor, inner: int, rate: Tensor) -> Tensor:
        """The clips after a step of Adam, whose ``rate`` (N,) and number are each clip's own; changes the moments."""
        step = new["stage"] * self.inner_steps + inner + 1
        new["first"] = BETAS[0] * new["first"] + (1 - BETAS[0]) * gradient
        new["second"] = BETAS[1] * new["second"] + (1 - BETAS[1]) * gradient.square()
        one, two = (per_clip((1 - beta ** step.double()).to(gradient.dtype)) for beta in BETAS)
        return new["x"].detach() - per_clip(rate.to(gradient.dtype)) / one * new["first"] / (
            (new["second"] / two).sqrt() + TINY
        )

    def _end(self, batch: SkeletonBatch, state: State) -> AttackResult:
        if self.keep == "last":
            return AttackResult(state["x"], state["found"])
        found = state["least"].isfinite()
        return AttackResult(torch.where(per_clip(found), state["best"], state["x"]), found)

    def _limits(self, batch: SkeletonBatch) -> dict[str, Limits]:
        return {name: constraint.on(batch) for name, constraint in self.constraints.items()}


def weights_of(limits: Limits, reduction: Reduction) -> Tensor:
    """(N, 1) weight of each entry in the Lagrangian."""
    if reduction == "mean":
        return 1 / limits.exists.sum(dim=1, keepdim=True).clamp(min=1).to(limits.tolerance.dtype)
    entries = limits.exists.shape[1]
    return torch.full_like(limits.tolerance[:, :1], 1 / entries if reduction == "mean_all" else 1.0)


def better(
    best: Tensor, least: Tensor, x_adv: Tensor, violations: Mapping[str, Tensor], success: Tensor
) -> tuple[Tensor, Tensor]:
    """The better of ``best`` and ``x_adv`` per clip, and its largest violation (N,)."""
    largest = torch.zeros_like(least)
    for h in (h.detach() for h in violations.values() if h.shape[1]):
        largest = torch.maximum(largest, h.amax(dim=1))
    better = success & (largest < least)
    x = torch.where(better.view(-1, 1, 1, 1, 1), x_adv.detach(), best)
    return x, torch.where(better, largest, least)

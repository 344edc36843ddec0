"""AutoAttack: four attacks, each on the clips that no earlier one has fooled."""

from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, apgd, fab, needs, square
from skeleton_adv.attacks.best import Best
from skeleton_adv.attacks.dlr import clean_logits, ranked
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.stages import Staged, State, kept
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Whole, checked


def _staged(
    targeted: bool,
    norm: Norm,
    eps: float,
    version: Literal["standard", "rand"],
    steps: int,
    targets: int,
    queries: int,
    eot: int,
    seed: int,
) -> Staged:
    """One stage for each run of a member; a clip that is fooled is done."""
    return Stages(targeted, Ball(norm, eps), version == "standard", steps, targets, queries, eot, seed).staged


@needs(
    "gradients",
    {"aa_member": "int", "aa_varies": "bool", "aa_flat": "bool", "aa_probabilities": "bool"},
    stages=_staged,
)
@checked
def autoattack(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    version: Literal["standard", "rand"] = "standard",
    steps: Count = 100,
    targets: Count = 9,
    queries: Count = 5000,
    eot: Count = 1,
    seed: Whole = 0,
) -> AttackResult:
    """Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks (Croce and
    Hein, arXiv 2003.01690), for coordinates without bounds.

    ``standard``: APGD on the cross-entropy, APGD on the targeted DLR, FAB towards ``targets`` classes (``steps`` each)
    and the square attack with ``queries``. ``rand``: APGD on the cross-entropy and on the DLR, with ``eot`` draws per
    step, for a victim that draws noise. A member changes only clips that no earlier member has fooled; the chunk keeps
    its shape, and a member ends when all its clips are fooled, so the number of passes is that of the hardest clip.
    A clip that no member fools is returned with its lowest margin.

    - ``aa_member``: the member that fooled the clip, from 1; 0 if the clean clip does, -1 if none does
    - ``aa_varies``: whether two calls on the clean clip give different logits; if so, ``rand`` is required
    - ``aa_flat``: whether APGD met a gradient of exactly 0 before the clip was fooled
    - ``aa_probabilities``: whether the logits of the clean clip are probabilities

    Differs from the released code: coordinates have no bounds; see also ``apgd``, ``fab`` and ``square``. ``rand``
    also attacks clips that the model misclassifies before, because a single draw does not decide this.
    """
    staged = _staged(targeted, norm, eps, version, steps, targets, queries, eot, seed)
    return staged.whole(model, batch)


@dataclass(frozen=True)
class Stages:
    """The runs of the members, in order. The number of a stage is its place among all runs."""

    targeted: bool
    ball: Ball
    standard: bool  # otherwise the version for a victim that draws noise
    steps: int
    targets: int
    queries: int
    eot: int
    seed: int

    @property
    def staged(self) -> Staged:
        """The attack in stages."""
        return Staged(self._begin, self._advance, self._end, fixed=not self.standard)

    def _begin(self, model: Model, batch: SkeletonBatch) -> State:
        logits, again = clean_logits(model, batch), clean_logits(model, batch)
        best, member = Best.none(batch), torch.full_like(batch.y, -1)
        if self.standard:
            clean = fooled(logits, batch.y, self.targeted) & fooled(again, batch.y, self.targeted)
            best = best.improved(batch.x, margin(logits, batch.y, self.targeted), clean, ~best.found)
            member = torch.where(clean, 0, member)
        return {
            "done": best.found,
            "stage": torch.zeros_like(batch.y),
            **best.as_state("best"),
            **Best.none(batch).as_state("nearest"),  # of FAB
            **square.Progress(Best.none(batch), torch.zeros_like(batch.x), torch.zeros_like(batch.y)).as_state(),
            "goals": torch.zeros_like(logits, dtype=torch.long),  # classes, from the largest clean logit down
            "member": member,
            "flat": torch.zeros_like(best.found),
            "varies": (logits != again).any(dim=1),
            "probabilities": _probabilities(logits),
        }

    def _runs(self, classes: int) -> list[tuple[str, int]]:
        """The runs: a member, and the place of its target."""
        if not self.standard:
            return [("cross_entropy", 0), ("dlr", 0)]
        many = 1 if self.targeted else min(self.targets, classes - 1)
        aimed = [(member, place) for member in ("targeted_dlr", "fab") for place in range(many)]
        searches = [("square", stage) for stage in range(-(-self.queries // square.STAGE))]
        return [("cross_entropy", 0), *aimed, *searches]

    def _advance(self, model: Model, batch: SkeletonBatch, state: State) -> State:
        """The next run, which is the same for all clips; those that are done do not change."""
        number, left, new = int(state["stage"].max()), ~state["done"], dict(state)
        runs = self._runs(state["goals"].shape[1])
        member, place = runs[number]
        if member in ("targeted_dlr", "fab") and not place and not self.targeted:
            ranks = self._ranks(model, batch, member)
            new["goals"] = torch.nn.functional.pad(ranks, (0, state["goals"].shape[1] - ranks.shape[1]))
        best = Best.of_state(state, "best")
        goal = None if self.targeted or member == "square" else new["goals"][:, place]
        if member == "square":
            search = square.Search(model, batch, self.ball.of(batch), self.targeted, self.queries, seed=self.seed)
            numbers = square.queries_of(place, self.queries)
            own = search.part(square.Progress.of_state(state), left, numbers)
            best = best.improved(own.best.x, own.best.score, own.best.found, left)
            new |= own.as_state()
        elif member == "fab":
            nearest, best = self._fab(model, batch, Best.of_state(state, "nearest"), best, goal, left)
            new |= nearest.as_state("nearest")
        else:
            best, zero = self._apgd(model, batch, member, place, best, goal, left)
            new["flat"] = state["flat"] | (zero & left)
        names = list(dict.fromkeys(name for name, _ in runs))
        new["member"] = torch.where(left & best.found, names.index(member) + 1, state["member"])
        done = best.found | (number + 1 == len(runs))
        return kept(state, new | best.as_state("best") | {"stage": state["stage"] + 1, "done": done})

    def _ranks(self, model: Model, batch: SkeletonBatch, member: str) -> Tensor:
        """(N, J) the classes to which the runs of a member lead."""
        if member == "fab":
            return ranked(clean_logits(model, batch), batch.y, self.targets)
        search = apgd.Search(model, batch, self.ball.of(batch), self.targeted, self.steps, self.eot)
        return search.goals(self.targets)

    def _apgd(
        self, model: Model, batch: SkeletonBatch, loss: str, place: int, best: Best, goal: Tensor | None, left: Tensor
    ) -> tuple[Best, Tensor]:
        """One run of APGD; also returns (N,) bool: whether a gradient was exactly 0."""
        budget = self.ball.of(batch)
        search = apgd.Search(model, batch, budget, self.targeted, self.steps, self.eot, stops=self.standard)
        objective = search.objective(cast(apgd.Loss, loss), None if loss != "targeted_dlr" else goal)
        return search.run(objective, budget.draw(self.seed, f"apgd {loss}", place), best, left)

    def _fab(
        self, model: Model, batch: SkeletonBatch, nearest: Best, best: Best, goal: Tensor | None, left: Tensor
    ) -> tuple[Best, Best]:
        """One run of FAB: the nearest clips so far, and the best; only clips inside the budget count."""
        search = fab.Search(model, batch, self.ball.of(batch), self.targeted, self.steps, stops=True)
        nearest, _ = search.run(goal, nearest, left)
        inside = nearest.found & (nearest.score <= 1)
        # The size is no margin: it does not replace a clip unless it fools the model.
        score = torch.where(inside, -torch.inf, torch.inf)
        return nearest, best.improved(nearest.x, score, inside, left)

    def _end(self, batch: SkeletonBatch, state: State) -> AttackResult:
        names = ("member", "varies", "flat", "probabilities")
        return AttackResult(state["best_x"], state["best_found"], columns={f"aa_{name}": state[name] for name in names})


def _probabilities(logits: Tensor) -> Tensor:
    """(N,) bool: whether the logits (N, K) are probabilities, so that the cross-entropy has small gradients."""
    sums = logits.sum(dim=1)
    return (logits >= 0).all(dim=1) & ((sums - 1).abs() < 1e-4)

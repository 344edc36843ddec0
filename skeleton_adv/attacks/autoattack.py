"""AutoAttack: four attacks, each on the clips that no earlier one has fooled."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, apgd, fab, needs, square
from skeleton_adv.attacks.best import Best
from skeleton_adv.attacks.dlr import clean_logits
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, Whole, checked

Member = Callable[[Tensor, Best], tuple[Best, Tensor]]  # (left, best) -> the better of best and own, and flat clips


@needs("gradients", {"aa_member": "int", "aa_varies": "bool", "aa_flat": "bool", "aa_probabilities": "bool"})
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
    budget, flat = Ball(norm, eps).of(batch), torch.zeros_like(batch.y, dtype=torch.bool)
    logits, again = clean_logits(model, batch), clean_logits(model, batch)
    best, member = Best.none(batch), torch.full_like(batch.y, -1)
    if version == "standard":
        clean = fooled(logits, batch.y, targeted) & fooled(again, batch.y, targeted)
        best = best.improved(batch.x, margin(logits, batch.y, targeted), clean, ~best.found)
        member = torch.where(clean, 0, member)
    climb = partial(_apgd, apgd.Search(model, batch, budget, targeted, steps, eot, stops=version == "standard"), seed)
    attacks: tuple[Member, ...] = (partial(climb, "cross_entropy", 1), partial(climb, "dlr", 1))
    if version == "standard":
        project = fab.Search(model, batch, budget, targeted, steps, stops=True)
        search = square.Search(model, batch, budget, targeted, queries, seed=seed)
        attacks = (
            partial(climb, "cross_entropy", 1),
            partial(climb, "targeted_dlr", targets),
            partial(_fab, project, targets),
            partial(_square, search),
        )
    for number, attack in enumerate(attacks, start=1):
        left = ~best.found
        if not bool(left.any()):
            break
        best, zero = attack(left, best)
        member, flat = torch.where(left & best.found, number, member), flat | (zero & left)
    columns = {"aa_member": member, "aa_varies": (logits != again).any(dim=1), "aa_flat": flat}
    return AttackResult(best.x, best.found, columns=columns | {"aa_probabilities": _probabilities(logits)})


def _apgd(
    search: apgd.Search, seed: int, loss: apgd.Loss, targets: int, left: Tensor, best: Best
) -> tuple[Best, Tensor]:
    """APGD towards each target, on clips that are left."""
    flat = torch.zeros_like(left)
    for number, objective in enumerate(search.objectives(loss, targets)):
        if number and not bool((left & ~best.found).any()):
            break
        start = search.budget.draw(seed, f"apgd {loss}", number)
        best, zero = search.run(objective, start, best, left & ~best.found)
        flat = flat | zero
    return best, flat


def _fab(search: fab.Search, targets: int, left: Tensor, best: Best) -> tuple[Best, Tensor]:
    """FAB towards each target, on clips that are left; only clips inside the budget count."""
    nearest = Best.none(search.batch)
    for goal in search.goals(targets):
        nearest, _ = search.run(goal, nearest, left)
        inside = nearest.found & (nearest.score <= 1)
        if not bool((left & ~inside).any()):
            break
    # The size is no margin: it does not replace a clip unless it fools the model.
    score = torch.where(inside, -torch.inf, torch.inf)
    return best.improved(nearest.x, score, inside, left), torch.zeros_like(left)


def _square(search: square.Search, left: Tensor, best: Best) -> tuple[Best, Tensor]:
    """The square attack on clips that are left."""
    own, _, _ = search.run(left)
    return best.improved(own.x, own.score, own.found, left), torch.zeros_like(left)


def _probabilities(logits: Tensor) -> Tensor:
    """(N,) bool: whether the logits (N, K) are probabilities, so that the cross-entropy has small gradients."""
    sums = logits.sum(dim=1)
    return (logits >= 0).all(dim=1) & ((sums - 1).abs() < 1e-4)

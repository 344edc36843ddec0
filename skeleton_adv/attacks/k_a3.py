"""k-anonymity: over all clips, the true class is uniform among the first k ranks."""

from collections.abc import Mapping

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.admm import multiplied
from skeleton_adv.attacks.lagrangian import Keep, Reduction
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.attacks.shortest import Shortest, length, per_clip
from skeleton_adv.constraints import Ball, Constraint, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked
from skeleton_adv.runs.schema import Columns

RANKS: Columns = {"rank": "int", "drawn_rank": "int"}


@needs("gradients", columns=RANKS, passes=lambda steps, **_: steps + 1, aims=False)
@checked
def k_a3(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    k: Count = 5,
    hide: bool = False,
    conf: NonNegative = 0.5,
    distance: NonNegative = 1.0,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 1e-3,
    steps: Count = 100,
    seed: Whole = 0,
) -> AttackResult:
    """After k-A3 (Mygdalis, Tefas and Pitas, Neural Networks 124, 2020), carried by I-FGVM.

    Re-implemented from its description: over all clips, the true class is uniform among ``k`` ranked positions, so that
    no position reveals it with a probability above 1 / k. The formula is ours. Each clip draws a rank r from 1 to k.
    The attack minimises a hinge that puts exactly r - 1 classes above the true one (``ranking``), plus ``distance``
    times the squared l2 of the displacement in metres. Each step moves by ``step`` times the gradient, from the clean
    clip, inside the ball of radius ``eps`` (metres). The attack returns the shortest iterate whose true class has the
    drawn rank, per clip; if there is none, the one with the smallest loss.

    - ``k``: the number of ranks
    - ``hide``: draw from 2 to k + 1 instead, so that every clip is misclassified
    - ``conf``: the lead, in logits, at which a pair of classes no longer counts in the hinge
    - ``seed``: of the ranks, which are balanced: in the order in which clips are attacked, every rank occurs once among
      the first k clips, among the next k, and so on

    A clip of rank 1 is classified correctly, so ``found`` and success are not the measure of this attack; the columns
    are: ``rank``, that of the true class for the attacked network (1: the predicted class), and ``drawn_rank``.
    The ranks are secret as long as the seed is. Raises ``SettingError`` if the network has fewer classes than ranks.
    """
    budget, shortest = Ball(norm, eps).of(batch), Shortest(batch)
    wanted = drawn_ranks(batch, k, hide, seed)
    delta, lowest = torch.zeros_like(batch.x), torch.full_like(shortest.size, torch.inf)
    fallback = delta
    for _ in range(steps):
        delta.requires_grad_()
        logits = model(batch.x + delta)
        _check(logits, k, hide)
        loss = ranking(logits, batch.y, wanted, conf) + distance * delta.flatten(1).square().sum(dim=1)
        (gradient,) = torch.autograd.grad(loss.sum(), delta)
        with torch.no_grad():
            shortest.offer(delta, length(delta), rank_of(logits, batch.y) == wanted)
            fallback = torch.where(per_clip(loss < lowest), delta, fallback)
            lowest = torch.minimum(lowest, loss)
            delta = budget.shortened(delta.detach() - step * torch.where(batch.movable, gradient, 0))
    x_adv = batch.x + torch.where(per_clip(shortest.found), shortest.delta, fallback.detach())
    return _result(model, batch, x_adv, wanted)


def _admm_passes(outer_steps: int, inner_steps: int, **_: object) -> int:
    return outer_steps * inner_steps + 2


@needs("gradients", columns=RANKS, passes=_admm_passes, aims=False)
@checked
def k_a3_admm(
    model: Model,
    batch: SkeletonBatch,
    *,
    constraints: Mapping[str, Constraint],
    targeted: bool = False,
    k: Count = 5,
    hide: bool = False,
    conf: NonNegative = 0.5,
    beta: Positive = 1.0,
    outer_steps: Count = 20,
    inner_steps: Count = 10,
    lr: Positive = 1e-3,
    reduction: Reduction = "mean",
    keep: Keep = "best",
    seed: Whole = 0,
) -> AttackResult:
    """After k-A3 (Mygdalis, Tefas and Pitas, Neural Networks 124, 2020), carried by the attack of Zheng et al.

    The loss and the ranks are those of ``k_a3``; in place of a ball and a distance, it has the limits on bones, angles
    and speeds of ``admm``, whose other settings it shares. With ``keep=best``, it returns the iterate with the smallest
    violation among those whose true class has the drawn rank. Raises ``SettingError`` as ``k_a3`` does.
    """
    wanted = drawn_ranks(batch, k, hide, seed)

    def loss(logits: Tensor) -> Tensor:
        _check(logits, k, hide)
        return ranking(logits, batch.y, wanted, conf)

    def success(logits: Tensor) -> Tensor:
        return rank_of(logits, batch.y) == wanted

    made = multiplied(
        *(model, batch, constraints, loss, success),
        beta=beta,
        outer_steps=outer_steps,
        inner_steps=inner_steps,
        lr=lr,
        reduction=reduction,
        keep=keep,
    )
    return _result(model, batch, made.x_adv, wanted)


def drawn_ranks(batch: SkeletonBatch, k: int, hide: bool, seed: int) -> Tensor:
    """(N,) ranks from 1 to k (``hide``: from 2 to k + 1), balanced by a random permutation for each k clips.

    The k clips follow each other in the order of attack (``batch.place``), or by number if no order is known. A rank
    depends on the place of its clip only, so limits, shards and resumed runs do not change it.
    """
    place = batch.index if batch.place is None else batch.place
    drawn = uniform(batch.x.new_empty(len(batch), k), place // k, seed, "k_a3 ranks")
    own = drawn.argsort(dim=1, stable=True).gather(1, (place % k)[:, None])[:, 0]
    return own + (2 if hide else 1)


def rank_of(logits: Tensor, y: Tensor) -> Tensor:
    """(N,) how many classes are predicted before ``y``, plus 1; of equal logits, the first is predicted."""
    true, numbers = logits.gather(1, y[:, None]), torch.arange(logits.shape[1], device=y.device)
    before = (logits > true) | ((logits == true) & (numbers < y[:, None]))
    return before.sum(dim=1) + 1


def ranking(logits: Tensor, y: Tensor, rank: Tensor, conf: float) -> Tensor:
    """(N,) hinge that is 0 where ``rank - 1`` classes lead ``y`` by ``conf``, and ``y`` leads the others by ``conf``.

    The classes that should lead are those with the highest logits.
    """
    true = logits.gather(1, y[:, None])
    others = logits.scatter(1, y[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)
    place = torch.empty_like(others).scatter_(
        1, others, torch.arange(logits.shape[1], device=y.device).expand_as(others)
    )
    above = place < (rank - 1)[:, None]
    gaps = torch.where(above, true - logits, logits - true) + conf
    return gaps.relu().scatter(1, y[:, None], 0).sum(dim=1)


def _check(logits: Tensor, k: int, hide: bool) -> None:
    """Raise ``SettingError`` if there are fewer classes than ranks."""
    classes = logits.shape[1]
    if k + hide > classes:
        raise SettingError(
            f"attack.k={k} asks for rank {k + hide} of {classes} classes: choose at most {classes - hide}"
        )


def _result(model: Model, batch: SkeletonBatch, x_adv: Tensor, wanted: Tensor) -> AttackResult:
    """The clips with their ranks; calls the model once."""
    with torch.no_grad():
        logits = model(x_adv)
    columns = {"rank": rank_of(logits, batch.y), "drawn_rank": wanted}
    return AttackResult(x_adv.detach(), fooled(logits, batch.y, False), columns=columns)

"""The attack of Zheng et al.: Adam on the augmented Lagrangian, dual ascent on its multipliers."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.lagrangian import Keep, Lagrangian, Reduction, better, weights_of
from skeleton_adv.attacks.losses import cross_entropy, fooled, hinge
from skeleton_adv.attacks.stages import Staged
from skeleton_adv.attacks.start import Start, start_passes, started
from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Probability, checked


def _lagrangian(
    targeted: bool,
    constraints: Mapping[str, Constraint],
    beta: float,
    outer_steps: int,
    inner_steps: int,
    lr: float,
    conf: float,
    targeted_loss: Literal["cross_entropy", "margin"],
    reduction: Reduction,
    keep: Keep,
    stop: float,
    falling: bool,
    start: Start,
    start_steps: int,
    trace: bool,
) -> Staged | None:
    """The attack in stages, if it stops; raises ``SettingError`` if it also has a setting that only whole runs have."""
    if not stop:
        return None
    if trace:
        raise SettingError(f"attack.stop={stop:g} has no trace: set attack.stop=0 or attack.trace=false")
    if falling or start != "clean":
        word = "falling=true" if falling else f"start={start}"
        raise SettingError(f"attack.stop={stop:g} excludes attack.{word}: set attack.stop=0 or remove attack.{word}")
    return Lagrangian(
        constraints,
        partial(_loss, targeted=targeted, targeted_loss=targeted_loss, conf=conf),
        success=partial(fooled, targeted=targeted),
        met=lambda logits, y: hinge(logits, y, targeted, conf) <= 0,
        beta=beta,
        outer_steps=outer_steps,
        inner_steps=inner_steps,
        lr=lr,
        reduction=reduction,
        keep=keep,
        stop=stop,
    ).staged


def _passes(
    outer_steps: int,
    inner_steps: int,
    stop: float = 0.0,
    start: Start = "clean",
    start_steps: int = 100,
    **_: object,
) -> int | None:
    return None if stop else outer_steps * inner_steps + 1 + start_passes(start, start_steps)


@needs("gradients", passes=_passes, stages=_lagrangian)
@checked
def admm(
    model: Model,
    batch: SkeletonBatch,
    *,
    constraints: Mapping[str, Constraint],
    targeted: bool = False,
    beta: Positive = 1.0,
    outer_steps: Count = 20,
    inner_steps: Count = 10,
    lr: Positive = 1e-3,
    conf: NonNegative = 1.0,
    targeted_loss: Literal["cross_entropy", "margin"] = "cross_entropy",
    reduction: Reduction = "mean",
    keep: Keep = "last",
    stop: Probability = 0.0,
    falling: bool = False,
    start: Start = "clean",
    start_steps: Count = 100,
    trace: bool = False,
) -> AttackResult:
    """Towards Understanding the Adversarial Vulnerability of Skeleton-based Action Recognition
    (Zheng et al., arXiv 2005.07151), Algorithm 1.

    ``lr`` and displacements are in metres. The loss of an untargeted attack is the margin with confidence
    ``conf``; that of a targeted attack is the cross-entropy or the margin. ``reduction`` defines the inner
    products with a constraint's entries: ``mean`` over existing entries, per clip (so that beta means
    the same for one person and for two), ``mean_all`` over all entries, including absent persons (the released
    code), or ``sum`` (the paper's text). ``keep`` selects the returned iterate: the ``last``, or the ``best``,
    which has the smallest maximum violation of all iterates that fool the model (the last if none does).
    One Adam optimiser runs through all steps, as in the released code. With ``trace``, the result contains the
    main loss and each constraint's term at every inner step.

    ``stop`` above 0 is an addition of ours: when the margin of a clip is met and neither its l2 nor its mean violation
    has changed by more than this share over 5 outer steps, its last 5 outer steps follow, in which the learning rate
    falls to 0 (``lagrangian.Lagrangian``). Raises ``SettingError`` if it is combined with ``trace`` or a setting below.

    The paper's problem can be solved better (``attack=admm_tuned``), by these settings of ours:

    - ``falling``: the learning rate falls to 0 linearly; in the paper, it is constant, and Adam's last steps shake
      joints that hardly move
    - ``start``: the clean clip, as in the paper, or a short displacement that fools the model after ``start_steps``
      steps of DDN (``ddn``) or of DDN and then C&W (``cw``)
    """
    staged = _lagrangian(
        *(targeted, constraints, beta, outer_steps, inner_steps, lr, conf, targeted_loss, reduction, keep, stop),
        *(falling, start, start_steps, trace),
    )
    if staged:
        return staged.whole(model, batch)
    return multiplied(
        *(model, batch, constraints),
        lambda logits: _loss(logits, batch.y, targeted, targeted_loss, conf),
        lambda logits: fooled(logits, batch.y, targeted),
        beta=beta,
        outer_steps=outer_steps,
        inner_steps=inner_steps,
        lr=lr,
        reduction=reduction,
        keep=keep,
        trace=trace,
        origin=started(model, batch, targeted, start, start_steps),
        falling=falling,
    )


def _loss(
    logits: Tensor, y: Tensor, targeted: bool, targeted_loss: Literal["cross_entropy", "margin"], conf: float
) -> Tensor:
    """(N,) the main loss."""
    if targeted and targeted_loss == "cross_entropy":
        return cross_entropy(logits, y)
    return hinge(logits, y, targeted, conf)


def multiplied(
    model: Model,
    batch: SkeletonBatch,
    constraints: Mapping[str, Constraint],
    objective: Callable[[Tensor], Tensor],
    success: Callable[[Tensor], Tensor],
    *,
    beta: float,
    outer_steps: int,
    inner_steps: int,
    lr: float,
    reduction: Reduction,
    keep: Keep,
    trace: bool = False,
    origin: Tensor | None = None,
    falling: bool = False,
) -> AttackResult:
    """The attack for any loss (N,) of the logits; ``success`` (N,) is true where the logits are a success.

    It begins at the clips ``origin``, or at the clean ones.
    """
    x_adv = (batch.x if origin is None else origin).clone().requires_grad_()
    limits = {name: constraint.on(batch) for name, constraint in constraints.items()}
    weights = {name: weights_of(limit, reduction) for name, limit in limits.items()}
    duals = {name: torch.zeros_like(limit.tolerance) for name, limit in limits.items()}
    # Adam does not move an entry whose gradient is always 0, so immovable entries never move.
    movable = batch.movable
    adam = torch.optim.Adam([x_adv], lr=lr)
    best, least = batch.x.clone(), torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    history: list[dict[str, Tensor]] = []

    for outer in range(outer_steps):
        for inner in range(inner_steps):
            if falling:
                adam.param_groups[0]["lr"] = lr * (1 - (outer * inner_steps + inner) / (outer_steps * inner_steps))
            logits = model(x_adv)
            loss = objective(logits)
            violations = {name: limit.violation(x_adv) for name, limit in limits.items()}
            terms = {
                name: (weights[name] * (duals[name] * h + beta / 2 * h.square())).sum(dim=1)
                for name, h in violations.items()
            }
            lagrangian = loss + sum(terms.values())
            (gradient,) = torch.autograd.grad(lagrangian.sum(), x_adv)
            if keep == "best":
                best, least = better(best, least, x_adv, violations, success(logits))
            if trace:
                history.append({"loss": loss.detach(), **{name: term.detach() for name, term in terms.items()}})
            x_adv.grad = torch.where(movable, gradient, 0)
            adam.step()
        with torch.no_grad():
            for name, limit in limits.items():
                duals[name] += beta * limit.violation(x_adv)

    with torch.no_grad():
        x_adv = x_adv.detach()
        found = success(model(x_adv))
        if keep == "best":
            best, least = better(best, least, x_adv, {n: limit.violation(x_adv) for n, limit in limits.items()}, found)
            found = least.isfinite()
            x_adv = torch.where(found.view(-1, 1, 1, 1, 1), best, x_adv)
    return AttackResult(x_adv, found, _stacked(history) if trace else None)


def _stacked(history: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([step[name] for step in history]) for name in history[0]}

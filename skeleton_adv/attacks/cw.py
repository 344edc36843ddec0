"""C&W in l2: a search over the weight of the loss, which begins at an iterate of DDN or FMN, or at the clean clip."""

from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.ddn import descend
from skeleton_adv.attacks.fmn import approach
from skeleton_adv.attacks.losses import fooled, hinge, margin
from skeleton_adv.attacks.shortest import Shortest, Weights, length, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, NonNegative, Positive, checked

SHORT = 0.1  # the learning rate of the refinement, as a fraction of the root mean square of its start
Start = Literal["both", "ddn", "fmn", "clean"]


def _passes(search_steps: int, steps: int, start: Start, start_steps: int, **_: object) -> int:
    starts = {"both": 2, "clean": 0}.get(start, 1)
    return starts * start_steps + (start != "clean") + search_steps * steps + 1


@needs("gradients", passes=_passes, minimises="l2")
@checked
def cw(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    c: Positive = 0.01,
    search_steps: Count = 5,
    steps: Count = 200,
    lr: Positive = 5e-3,
    conf: NonNegative = 0.0,
    abort_early: bool = True,
    start: Start = "both",
    start_steps: Count = 200,
    per_coordinate: bool = False,
    falling: bool = True,
    warm: bool = False,
) -> AttackResult:
    """Towards Evaluating the Robustness of Neural Networks (Carlini and Wagner, arXiv 1608.04644), l2.

    Minimises ``|d|^2 + c max(margin + conf, 0)``, with the displacement d in metres, for ``search_steps`` values
    of c per clip: c grows tenfold until the first success and is bisected after it.
    Coordinates have no bounds, so there is no change of variables. The attack returns the shortest d that fools the
    model, per clip; if none does, it returns the last iterate. With ``abort_early``, a clip stops once a tenth of the
    steps does not lower its loss by one part in ten thousand.

    - ``start``: ``clean``: every search begins at d = 0, as in the paper. ``ddn`` or ``fmn``: the first search refines,
      in short steps, the shortest d of ``start_steps`` steps of DDN (cross-entropy, arXiv 1811.09600) or FMN
      (margin, arXiv 2102.12827), and c begins at twice the value for which this d would be optimal; the other
      searches begin at d = 0. ``both``: the shorter d of the two
    - ``per_coordinate``: Adam's second moment is one number per coordinate, as in the paper, or one per clip
    - ``warm``: each later search also refines, in short steps, the shortest d so far; a clip without one begins at 0
    - ``falling``: the learning rate falls to 0 in each search; in the paper, it is constant

    The paper's search has ``start=clean``, ``per_coordinate=true`` and ``falling=false``. With one number per
    coordinate and a constant rate, short displacements are up to 1.4 times too long on a linear victim; searches that
    all begin at d = 0 miss a d of DDN that is more than 1.1 times shorter on 12 % of HCN's clips.
    A model that draws noise may be fooled once by chance; ``conf`` above 0 makes this rarer. A search
    takes all its steps even if all clips have stopped, so that a clip's draws do not depend on other clips.
    """
    movable, best = batch.movable, Shortest(batch)
    entries = movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype)
    first_c, pace, origin = torch.full_like(best.size, c), torch.full_like(best.size, lr), torch.zeros_like(batch.x)
    if start != "clean":
        known = _started(model, batch, targeted, start, start_steps)
        origin = known.delta
        first_c = torch.where(known.found, 2 * _critical(model, batch, origin, targeted), first_c)
        pace = torch.where(known.found, SHORT * known.size / entries.sqrt(), pace)
    weights, delta = Weights(first_c), origin
    for search in range(search_steps):
        if search and warm:
            origin = best.delta
            pace = torch.where(best.found, SHORT * best.size.sqrt() / entries.sqrt(), lr)
        delta = origin if search == 0 or warm else torch.zeros_like(origin)
        rates = pace if search == 0 or warm else torch.full_like(pace, lr)
        first = torch.zeros_like(batch.x)
        second = torch.zeros_like(batch.x if per_coordinate else per_clip(entries))
        reached, active = torch.zeros_like(best.found), torch.ones_like(best.found)
        lowest = checked_lowest = torch.full_like(best.size, torch.inf)
        for step in range(steps):
            delta.requires_grad_()
            logits = model(batch.x + delta)
            square = delta.flatten(1).square().sum(dim=1)
            excess = hinge(logits, batch.y, targeted, conf)
            loss = square + weights.value * excess
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            with torch.no_grad():
                success = fooled(logits, batch.y, targeted) & (excess <= 0) & active
                best.offer(delta, square, success)
                reached |= success
                lowest = torch.minimum(lowest, loss)
                if abort_early and step and step % max(steps // 10, 1) == 0:
                    active = active & (lowest < checked_lowest * (1 - 1e-4))
                    checked_lowest = lowest
                gradient = torch.where(movable, gradient, 0)
                first = 0.9 * first + 0.1 * gradient
                power = gradient.square()
                if not per_coordinate:
                    power = per_clip(power.flatten(1).sum(dim=1) / entries)
                second = 0.999 * second + 0.001 * power
                rate = rates * active * ((1 - step / steps) if falling else 1.0) / (1 - 0.9 ** (step + 1))
                scaled = (second / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
                delta = delta.detach() - per_clip(rate) / scaled * first
        weights.update(reached)
    return best.result(model, batch, targeted, delta)


def _started(model: Model, batch: SkeletonBatch, targeted: bool, start: Start, steps: int) -> Shortest:
    """The shortest displacements of DDN, FMN or both."""
    best = Shortest(batch)
    if start in ("ddn", "both"):
        best, _ = descend(model, batch, targeted, steps=steps)
    if start in ("fmn", "both"):
        other, _ = approach(model, batch, targeted, steps=steps)
        best.offer(other.delta, other.size, other.found)
    return best


def _critical(model: Model, batch: SkeletonBatch, delta: Tensor, targeted: bool) -> Tensor:
    """(N,) the c for which ``|d|^2 + c margin`` does not change along ``delta``, to first order; one pass."""
    delta = delta.detach().requires_grad_()
    loss = margin(model(batch.x + delta), batch.y, targeted)
    (gradient,) = torch.autograd.grad(loss.sum(), delta)
    slope = length(torch.where(batch.movable, gradient, 0))
    return 2 * length(delta.detach()) / slope.clamp(min=1e-30)

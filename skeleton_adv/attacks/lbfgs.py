"""L-BFGS: the first attack on deep networks, as a batch of independent searches."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.attacks.shortest import Shortest, Weights, length
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.ranges import Count, Positive, checked


@needs("gradients", passes=lambda search_steps, steps, **_: search_steps * steps + 1, minimises="l2")
@checked
def lbfgs(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    c: Positive = 0.001,
    search_steps: Count = 10,
    steps: Count = 30,
    history: Count = 10,
) -> AttackResult:
    """Intriguing properties of neural networks (Szegedy et al., arXiv 1312.6199), Sec. 4.1.

    Minimises ``|d|^2 + c loss``, with the displacement d in metres, by L-BFGS for ``search_steps`` values of c per
    clip: c grows tenfold until the first success and is bisected after it. The loss is the cross-entropy of the target;
    without a target, it is -log(1 - p), where p is the probability of the true class. The attack returns the shortest
    displacement that fools the model, per clip; if none does, the last one.
    Each pass evaluates one point per clip: a point that lowers the loss enough (Armijo's rule) is accepted and adds to
    the clip's ``history`` of pairs (step, change of the gradient); otherwise the step is halved. At first, the
    curvature is that of ``|d|^2``.
    Differs from the paper: c weighs the loss instead of the displacement, whose l2 norm is squared. Coordinates
    have no bounds.
    """
    movable, best = batch.movable.flatten(1), Shortest(batch)
    weights = Weights(torch.full_like(best.size, c))
    point = torch.zeros_like(batch.x).flatten(1)
    for _ in range(search_steps):
        point, trial = torch.zeros_like(point), torch.zeros_like(point)
        value, slope, way = torch.full_like(best.size, torch.inf), torch.zeros_like(point), torch.zeros_like(point)
        rate, curved = torch.ones_like(best.size), Curvature(point, history)
        reached = torch.zeros_like(best.found)
        for _ in range(steps):
            delta = trial.view_as(batch.x).requires_grad_()
            logits = model(batch.x + delta)
            loss = delta.flatten(1).square().sum(dim=1) + weights.value * _loss(logits, batch.y, targeted)
            (gradient,) = torch.autograd.grad(loss.sum(), delta)
            with torch.no_grad():
                success = fooled(logits, batch.y, targeted)
                best.offer(delta, length(delta), success)
                reached |= success
                trial, gradient = trial.detach(), torch.where(movable, gradient.flatten(1), 0)
                accepted = loss <= value + 1e-4 * rate * (slope * way).sum(dim=1)
                curved.add(trial - point, gradient - slope, accepted & value.isfinite())
                row = accepted[:, None]
                point, slope = torch.where(row, trial, point), torch.where(row, gradient, slope)
                value = torch.where(accepted, loss, value)
                way = torch.where(row, curved.downhill(slope), way)
                rate = torch.where(accepted, 1, rate / 2)
                trial = point + rate[:, None] * way
        weights.update(reached)
    return best.result(model, batch, targeted, point.view_as(batch.x))


def _loss(logits: Tensor, y: Tensor, targeted: bool) -> Tensor:
    """(N,) minus the log-probability of the target, or of all classes but ``y``."""
    if targeted:
        return cross_entropy(logits, y)
    return logits.logsumexp(dim=1) - logits.scatter(1, y[:, None], -torch.inf).logsumexp(dim=1)


class Curvature:
    """The last pairs of steps and changes of the gradient, per clip (Nocedal and Wright, Algorithm 7.4).

    ``scale`` (N, 1) is the inverse of the curvature at first; by default, that of ``|d|^2``.
    """

    def __init__(self, like: Tensor, history: int, scale: Tensor | None = None) -> None:
        self._steps = like.new_zeros(history, *like.shape)  # (history, N, D), the newest last
        self._changes = torch.zeros_like(self._steps)
        self._inverses = like.new_zeros(history, len(like))  # 1 / (step . change); 0 for a pair that does not exist
        self._first = like.new_full((len(like), 1), 0.5) if scale is None else scale
        self._scale = self._first

    def add(self, step: Tensor, change: Tensor, chosen: Tensor) -> None:
        """Add pairs (N, D) for the ``chosen`` clips (N,) where the curvature along the step is positive."""
        product, square = (step * change).sum(dim=1), change.square().sum(dim=1)
        chosen = chosen & (product > 1e-10 * square)
        inverse = torch.where(chosen, 1 / torch.where(chosen, product, 1), 0)
        for name, new in (("_steps", step), ("_changes", change), ("_inverses", inverse)):
            old = getattr(self, name)
            kept = chosen.view(1, -1, *[1] * (old.dim() - 2))
            setattr(self, name, torch.where(kept, torch.cat([old[1:], new[None]]), old))
        ratio = product / torch.where(chosen, square, 1)
        self._scale = torch.where(chosen, ratio, self._scale[:, 0])[:, None]

    def downhill(self, gradient: Tensor) -> Tensor:
        """(N, D) minus the inverse curvature times the gradient, or times the first scale if that is not downhill."""
        q, alphas = gradient.clone(), []
        for s, y, inverse in reversed(list(zip(self._steps, self._changes, self._inverses, strict=True))):
            alphas.append((inverse * (s * q).sum(dim=1))[:, None])
            q = q - alphas[-1] * y
        q = q * self._scale
        for s, y, inverse in zip(self._steps, self._changes, self._inverses, strict=True):
            q = q + s * (alphas.pop() - (inverse * (y * q).sum(dim=1))[:, None])
        falls = (q * gradient).sum(dim=1, keepdim=True) > 0
        return -torch.where(falls, q, self._first * gradient)

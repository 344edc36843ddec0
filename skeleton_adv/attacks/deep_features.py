"""Deep features: clips whose features are those of a clip of another class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, deep, needs
from skeleton_adv.attacks.lbfgs import Curvature
from skeleton_adv.attacks.losses import fooled, hinge
from skeleton_adv.attacks.shortest import per_clip
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import Budget
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.geometry import pairwise
from skeleton_adv.core.noise import uniform
from skeleton_adv.core.ranges import Count, Positive, Whole, checked

CHUNK = 32  # training clips per pass
Guide = Literal["nearest", "random"]


def fit_templates(
    view: object, pool: Pool, state: Mapping[str, Tensor] | None, *, layer: int = -1, fit_clips: Count = 2000
) -> Iterator[dict[str, Tensor]]:
    """The features (n, D) of at most ``fit_clips`` training clips, their labels (n,) and predicted classes (n,)."""
    numbers = list(range(0, len(pool), -(-len(pool) // fit_clips)))
    known = {name: state[name].cpu() for name in ("features", "labels", "predicted")} if state else {}
    while len(known.get("labels", ())) < len(numbers):
        done = len(known.get("labels", ()))
        batch = pool.batch(numbers[done : done + CHUNK])
        with torch.no_grad():
            stages, logits = deep(view(batch))(batch.x)  # type: ignore[operator]
        new = {"features": _stage(stages, layer), "labels": batch.y, "predicted": logits.argmax(dim=1)}
        known = {name: torch.cat([known[name], one.cpu()]) if known else one.cpu() for name, one in new.items()}
        yield known


@needs(
    "gradients",
    columns={"guide": "int", "template": "int", "template_distance": "float"},
    passes=lambda steps, **_: steps + 1,
    fit=fit_templates,
)
@checked
def deep_features(
    model: Model,
    batch: SkeletonBatch,
    *,
    fitted: Mapping[str, Tensor],
    targeted: bool = False,
    layer: int = -1,
    optimiser: Literal["lbfgsb", "adam"] = "lbfgsb",
    guide: Guide = "nearest",
    until: Literal["both", "template"] = "both",
    norm: Norm = "linf",
    eps: Positive = 0.01,
    steps: Count = 200,
    lr: Positive = 1e-3,
    history: Count = 10,
    fit_clips: Count = 2000,
    seed: Whole = 0,
) -> AttackResult:
    """Adversarial Manipulation of Deep Representations (Sabour et al., arXiv 1511.05122), guided by the nearest
    template as in Detection of Face Recognition Adversarial Attacks (Massoli et al., arXiv 1912.02918), Eq. 8.

    Minimises ``|f(x') - f(x_g)|^2`` in a ball, where f are the features of a layer, averaged over frames, joints and
    persons, and x_g is the guide: a training clip of the target, or of any other class. A class's template is the mean
    of the features of its training clips. Per clip, the attack stops at the first iterate whose nearest template is
    that of the target, or of a wrong class. Templates and guides are fitted on training clips (``fit_templates``).

    - ``layer``: a stage of the network (``models.deep``), -1: the last before the logits
    - ``optimiser``: ``lbfgsb``: L-BFGS on the coordinates that are not at a bound, with Armijo's rule along the
      projected step; a halved step takes one of the ``steps``. ``adam``: Adam with the rate ``lr`` (metres), projected
      after each step
    - ``guide``: the ``nearest`` in features, or a ``random`` one, among training clips that the network classifies
      correctly and whose nearest template is that of their class
    - ``until``: what ends the search: ``template``, the nearest template (the paper), or ``both``, until the network is
      fooled too
    - ``norm``, ``eps``: the ball, in metres; in the paper, the box of ``linf``

    If it never stops, it returns the iterate with the smallest loss, one that fools the network if there is any. A
    class without such training clips has no guide; its clips follow the hinge of the logits. The columns are the class
    of the guide (-1: none), that of the nearest template, and the distance of the features to that template.
    Differs from the paper: L-BFGS-B finds the active bounds by a Cauchy point, this search by the sign of the gradient.
    Raises ``SettingError`` for a layer that does not exist.
    """
    budget, known, see = Ball(norm, eps).of(batch), _Known(fitted, batch), deep(model)
    search = _Quasi(budget, history) if optimiser == "lbfgsb" else _Adam(budget, lr)
    trial, x_adv = torch.zeros_like(batch.x), batch.x
    lowest = torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    most = torch.full_like(batch.y, -1)
    for number in range(steps):
        trial.requires_grad_()
        stages, logits = see(batch.x + trial)
        features = _stage(stages, layer)
        if number == 0:
            chosen, guided = known.guides(features.detach(), targeted, guide, seed)
            goal = known.features[chosen]
        loss = (features - goal).square().sum(dim=1)
        loss = torch.where(guided, loss, hinge(logits, batch.y, targeted, 1.0))
        (gradient,) = torch.autograd.grad(loss.sum(), trial)
        with torch.no_grad():
            own = known.nearest(features)[0] == batch.y
            hit = fooled(logits, batch.y, targeted)
            reached = torch.where(guided, own if targeted else ~own, hit)
            met = 2 * reached.long() if until == "template" else reached.long() + hit.long()
            better = (met > most) | ((met == most) & (met < 2) & (loss < lowest))
            x_adv = torch.where(per_clip(better), batch.x + trial, x_adv)
            most, lowest = torch.where(better, met, most), torch.where(better, loss, lowest)
            trial = search.following(trial.detach(), loss.detach(), torch.where(batch.movable, gradient, 0))
    with torch.no_grad():
        stages, logits = see(x_adv)
        template, distance = known.nearest(_stage(stages, layer))
    guides = torch.where(guided, known.labels[chosen], -1)
    columns = {"guide": guides, "template": template, "template_distance": distance}
    return AttackResult(x_adv.detach(), fooled(logits, batch.y, targeted), columns=columns)


class _Known:
    """The features of training clips, and the templates of their classes."""

    def __init__(self, fitted: Mapping[str, Tensor], batch: SkeletonBatch) -> None:
        self.batch = batch
        self.features, self.labels = fitted["features"].to(batch.x), fitted["labels"].to(batch.y)  # (n, D), (n,)
        classes = int(fitted["labels"].max()) + 1
        of = torch.nn.functional.one_hot(self.labels, classes).to(batch.x)  # (n, K)
        self._count = of.sum(dim=0)
        self._templates = of.T @ self.features / self._count.clamp(min=1)[:, None]
        # A clip that is nearer to another template would not lead to its own.
        self._able = (fitted["predicted"].to(batch.y) == self.labels) & (self.nearest(self.features)[0] == self.labels)

    def nearest(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The class (N,) of the template nearest to features (N, D), and its distance (N,)."""
        far = pairwise(features, self._templates)
        distance, found = torch.where(self._count > 0, far, torch.inf).min(dim=1)
        return found, distance

    def guides(self, features: Tensor, targeted: bool, guide: Guide, seed: int) -> tuple[Tensor, Tensor]:
        """The numbers (N,) of training clips that guide clips with these features, and (N,) bool: whether there are."""
        same = self.labels[None] == self.batch.y[:, None]
        able = (same if targeted else ~same) & self._able
        if guide == "nearest":
            order = pairwise(features, self.features)
        else:
            order = uniform(self.batch.x.new_empty(able.shape), self.batch.index, seed, "guides")
        return torch.where(able, order, torch.inf).argmin(dim=1), able.any(dim=1)


class _Quasi:
    """L-BFGS in a ball: one trial per clip and step; the bounds at which the loss would fall outwards are active."""

    def __init__(self, budget: Budget, history: int) -> None:
        self._budget, self._history = budget, history
        self._point = torch.zeros_like(budget.batch.x)
        self._slope, self._way = torch.zeros_like(self._point), torch.zeros_like(self._point)
        self._value = torch.full_like(self._point[:, 0, 0, 0, 0], torch.inf)
        self._rate = torch.ones_like(self._value)
        self._curved: Curvature | None = None

    def following(self, trial: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """The next displacements, after the loss (N,) and its gradient at the displacements ``trial``."""
        if self._curved is None:  # the first step changes no coordinate by more than the radius
            scale = self._budget.radius.amax() / gradient.flatten(1).abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
            self._curved = Curvature(gradient.flatten(1), self._history, scale)
        step = trial - self._point
        accepted = loss <= self._value + 1e-4 * (self._slope * step).flatten(1).sum(dim=1)
        new = accepted & self._value.isfinite()
        self._curved.add(step.flatten(1), (gradient - self._slope).flatten(1), new)
        row = per_clip(accepted)
        self._point, self._slope = torch.where(row, trial, self._point), torch.where(row, gradient, self._slope)
        self._value = torch.where(accepted, loss, self._value)
        free = self._free()
        way = self._curved.downhill(torch.where(free, self._slope, 0).flatten(1)).view_as(trial)
        self._way = torch.where(row, torch.where(free, way, 0), self._way)
        self._rate = torch.where(accepted, 1, self._rate / 2)
        return self._budget.shortened(self._point + per_clip(self._rate) * self._way)

    def _free(self) -> Tensor:
        """(N, C, T, V, M) bool: the coordinates that may move; in a ball without bounds, all."""
        if self._budget.norm != "linf":
            return torch.ones_like(self._point, dtype=torch.bool)
        outwards = torch.where(self._slope < 0, self._point, -self._point)
        return (outwards < self._budget.radius) | (self._slope == 0)


class _Adam:
    """Adam, projected into a ball after each step (Kingma and Ba, arXiv 1412.6980)."""

    def __init__(self, budget: Budget, lr: float) -> None:
        self._budget, self._lr, self._number = budget, lr, 0
        self._first, self._second = torch.zeros_like(budget.batch.x), torch.zeros_like(budget.batch.x)

    def following(self, trial: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """The next displacements, after the gradient at the displacements ``trial``."""
        self._number += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.999 * self._second + 0.001 * gradient.square()
        mean, power = self._first / (1 - 0.9**self._number), self._second / (1 - 0.999**self._number)
        return self._budget.shortened(trial - self._lr * mean / (power.sqrt() + 1e-12))


def _stage(stages: Sequence[Tensor], layer: int) -> Tensor:
    """The features of a stage; raises ``SettingError`` if there is no such stage."""
    if not -len(stages) <= layer < len(stages):
        raise SettingError(f"attack.layer={layer} does not exist: choose from {-len(stages)} to {len(stages) - 1}")
    return stages[layer]

"""Hard No-Box: an attack without a victim, labels or queries, and the skeleton-motion-informed gradient."""

from collections.abc import Callable, Iterator, Mapping
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.clusters import k_means
from skeleton_adv.attacks.losses import cross_entropy, fooled
from skeleton_adv.attacks.smi import Order, influence, informed
from skeleton_adv.attacks.tvar import Kernel
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked

Loss = Literal["contrastive", "cross_entropy"]
AT_ONCE = 32  # pool clips per pass
MOST = 120  # centres of the paper
DROPPED = 12  # the paper drops 10 of 120 centres
SMALLEST = 0.1  # the smallest length of a centre by which a cosine is divided, as in the released code


def fit_centres(
    view: Callable[[SkeletonBatch], Model],
    pool: Pool,
    state: Mapping[str, Tensor] | None,
    *,
    loss: Loss,
    centres: Count | None,
    seed: Whole,
) -> Iterator[dict[str, Tensor]]:
    """The centres (k, F) of the features of unlabelled clips, each of length 1; none for ``loss=cross_entropy``.

    Raises ``SettingError`` if there are fewer clips than centres.
    """
    if loss == "cross_entropy":
        yield {"centres": torch.zeros(0, 0)}
        return
    count = min(MOST, max(len(pool) // 8, 1)) if centres is None else centres
    if count > len(pool):
        raise SettingError(f"attack.centres={count}, but there are {len(pool)} training clips: lower it, or use null")
    features = []
    with torch.no_grad():
        for start in range(0, len(pool), AT_ONCE):
            batch = pool.batch(range(start, min(start + AT_ONCE, len(pool))))
            features.append(F.normalize(view(batch)(batch.x), dim=1))
    yield {"centres": k_means(torch.cat(features), count, seed)}


@needs(
    "gradients", passes=lambda steps, **_: steps + 1, fit=fit_centres, labels=lambda loss, **_: loss != "contrastive"
)
@checked
def no_box(
    model: Model,
    batch: SkeletonBatch,
    *,
    fitted: Mapping[str, Tensor],
    targeted: bool = False,
    norm: Norm = "linf",
    eps: Positive = 0.01,
    step: Positive = 1e-4,
    steps: Count = 400,
    order: Order = 2,
    momentum: NonNegative = 1.0,
    kernel: Kernel = "triweight",
    loss: Loss = "contrastive",
    centres: Count | None = None,
    dropped: Whole | None = None,
    seed: Whole = 0,
) -> AttackResult:
    """Hard No-Box Adversarial Attack on Skeleton-Based Human Action Recognition (Lu et al., arXiv 2308.05681).

    ``model`` returns features (N, F) of an encoder that was trained without labels. Each step moves every coordinate by
    ``step`` along the sign of u, within ``eps`` (both in metres): ``u = g~ + momentum * u``, where g~ is the
    skeleton-motion-informed gradient of the ``order`` 1 or 2 (0: the gradient itself), and the gradient is divided by
    its mean absolute value. With momentum these are MI-FGSM, S1MI and S2MI, without it I-FGSM, S1I and S2I.

    - ``loss``: ``contrastive`` increases the paper's Eq. 2, ``-log(exp(c_0) / sum_j exp(c_j))``, with the cosines of
      the features to those of the clean clip (c_0) and to ``centres``; ``cross_entropy`` is that of a surrogate's
      classes, as in the paper's experiments on transfer
    - ``centres``: clusters of the training clips' features, without labels; None: an eighth of the clips, at most 120
    - ``dropped``: the centres nearest to the clean clip that are left out; None: a twelfth (the paper: 10 of 120)
    - ``kernel``: see ``tvar``

    A contrastive attack uses no class, so it has no target and claims no success. It always takes all its steps.
    Differs from the released code: the other clips of a batch are not in the sum over j, because a clip's result would
    depend on them; the gradient is averaged over movable entries; autoregressions are those of ``tvar``.
    Raises ``SettingError`` if no centre is left, or if ``targeted`` and ``loss=contrastive``.
    """
    contrastive = loss == "contrastive"
    if contrastive and targeted:
        raise SettingError("attack.loss=contrastive does not use classes, so it has no target: set targeted=false")
    budget, movable = Ball(norm, eps).of(batch), batch.movable
    entries = movable.flatten(1).sum(dim=1).clamp(min=1).to(batch.x.dtype)
    shares = influence(batch, order, kernel)
    rest, own = _others(model, batch, fitted["centres"], dropped) if contrastive else (batch.x, batch.x)

    def objective(outputs: Tensor) -> Tensor:
        """(N,) the objective to maximise."""
        if not contrastive:
            return cross_entropy(outputs, batch.y) * (-1 if targeted else 1)
        features = F.normalize(outputs, dim=1)
        clean = (features * own).sum(dim=1)
        cosines = torch.einsum("nf,nkf->nk", features, rest)
        return torch.cat([clean[:, None], cosines], dim=1).logsumexp(dim=1) - clean

    delta = memory = torch.zeros_like(batch.x)
    for _ in range(steps):
        delta = delta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(objective(model(batch.x + delta)).sum(), delta)
        with torch.no_grad():
            gradient = torch.where(movable, gradient, 0)
            size = gradient.flatten(1).abs().sum(dim=1) / entries
            gradient = informed(gradient / broadcast(size.clamp(min=1e-30)), shares)
            memory = torch.where(movable, gradient + momentum * memory, 0)
            delta = budget.shortened(delta + step * budget.steepest(memory))
    x_adv = batch.x + delta.detach()
    if contrastive:
        return AttackResult(x_adv, torch.zeros(len(batch), dtype=torch.bool, device=x_adv.device))
    with torch.no_grad():
        return AttackResult(x_adv, fooled(model(x_adv), batch.y, targeted))


def _others(model: Model, batch: SkeletonBatch, centres: Tensor, dropped: int | None) -> tuple[Tensor, Tensor]:
    """The directions (N, k, F) of the centres that each clip keeps, and the features (N, F) of the clean clips."""
    count = len(centres) // DROPPED if dropped is None else dropped
    if count >= len(centres):
        raise SettingError(f"attack.dropped={count} leaves none of the {len(centres)} centres: lower it, or use null")
    # The clips require a gradient, so that a view without gradients refuses the first call.
    own = F.normalize(model(batch.x.clone().requires_grad_()), dim=1).detach()
    centres = centres.to(own)
    far = torch.cdist(own, centres, compute_mode="donot_use_mm_for_euclid_dist")
    kept = far.argsort(dim=1, stable=True)[:, count:]
    rest: Tensor = centres / centres.norm(dim=1, keepdim=True).clamp(min=SMALLEST)
    return rest[kept], own

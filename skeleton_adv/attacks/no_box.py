"""Hard No-Box: an attack without a victim, labels or queries, by an attacker who has only unlabelled clips."""

from collections.abc import Callable, Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.clusters import k_means
from skeleton_adv.attacks.smi import Order
from skeleton_adv.attacks.smi_fgsm import climbed
from skeleton_adv.attacks.tvar import Kernel
from skeleton_adv.constraints import Ball, Norm
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Whole, checked

AT_ONCE = 32  # pool clips per pass
MOST = 120  # centres of the paper
DROPPED = 12  # the paper drops 10 of 120 centres
SMALLEST = 0.1  # the smallest length of a centre by which a cosine is divided, as in the released code


def fit_centres(
    view: Callable[[SkeletonBatch], Model],
    pool: Pool,
    state: Mapping[str, Tensor] | None,
    *,
    centres: Count | None,
    seed: Whole,
) -> Iterator[dict[str, Tensor]]:
    """The centres (k, F) of the features of unlabelled clips, each of length 1.

    Raises ``SettingError`` if there are fewer clips than centres.
    """
    count = min(MOST, max(len(pool) // 8, 1)) if centres is None else centres
    if count > len(pool):
        raise SettingError(f"attack.centres={count}, but there are {len(pool)} training clips: lower it, or use null")
    features = []
    with torch.no_grad():
        for start in range(0, len(pool), AT_ONCE):
            batch = pool.batch(range(start, min(start + AT_ONCE, len(pool))))
            features.append(F.normalize(view(batch)(batch.x), dim=1))
    yield {"centres": k_means(torch.cat(features), count, seed)}


@needs("gradients", passes=lambda steps, **_: steps + 1, fit=fit_centres, labels=lambda **_: False)
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
    centres: Count | None = None,
    dropped: Whole | None = None,
    seed: Whole = 0,
) -> AttackResult:
    """Hard No-Box Adversarial Attack on Skeleton-Based Human Action Recognition (Lu et al., arXiv 2308.05681).

    ``model`` returns features (N, F) of an encoder that was trained without labels. The attack increases Eq. 2 of the
    paper, ``-log(exp(c_0) / sum_j exp(c_j))``, where c_0 is the cosine of the features to those of the clean clip and
    c_j those to ``centres``. Its steps are those of ``smi_fgsm``: with ``momentum`` they are MI-FGSM, S1MI and S2MI
    (``order`` 0, 1 and 2), without it I-FGSM, S1I and S2I.

    - ``centres``: the number of clusters of the training clips' features, which need no labels; None: an eighth of the
      clips, at most 120
    - ``dropped``: how many of the centres are left out, those nearest to the clean clip; None: a twelfth (the paper:
      10 of 120)
    - ``kernel``: see ``tvar``

    It uses no class, so it has no target and claims no success. It always takes all its steps.
    Differs from the released code as ``smi_fgsm`` does; also, the other clips of a batch are not in the sum over j,
    because a clip's result would depend on them. Raises ``SettingError`` if no centre is left, or if ``targeted``.
    """
    if targeted:
        raise SettingError("attack no_box does not use classes, so it has no target: set targeted=false")
    rest, own = _others(model, batch, fitted["centres"], dropped)

    def objective(outputs: Tensor) -> Tensor:
        """(N,) the loss of Eq. 2."""
        features = F.normalize(outputs, dim=1)
        clean = (features * own).sum(dim=1)
        cosines = torch.einsum("nf,nkf->nk", features, rest)
        return torch.cat([clean[:, None], cosines], dim=1).logsumexp(dim=1) - clean

    x_adv = climbed(model, batch, objective, Ball(norm, eps), step, steps, order, momentum, kernel)
    return AttackResult(x_adv, torch.zeros(len(batch), dtype=torch.bool, device=x_adv.device))


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

"""DeepFool: steps to the nearest border of a linearised model."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.attacks.losses import fooled
from skeleton_adv.attacks.shortest import Norm, Shortest, length, per_clip
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Count, NonNegative, checked


@needs("gradients", passes=lambda steps, **_: steps + 2, minimises="norm", aims=False)
@checked
def deepfool(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    norm: Norm = "l2",
    classes: Count = 10,
    steps: Count = 50,
    overshoot: NonNegative = 0.02,
) -> AttackResult:
    """DeepFool: a simple and accurate method to fool deep neural networks (Moosavi-Dezfooli et al.,
    arXiv 1511.04599), Algorithm 2, in l2 or l-infinity (Sec. 3.4), in metres.

    Each step linearises the model and moves to the nearest of its borders with ``classes`` classes: those with the
    largest logits at the clean clip, apart from the true class. A clip stops at its first success. The sum of the steps
    is extended by the fraction ``overshoot``, in each step as in the released code; in the paper, only after the last.
    A forward pass is followed by one backward pass per class, and all ``steps`` are taken even if all clips have
    stopped, so that a clip's draws do not depend on other clips.
    Raises ``SettingError`` if ``targeted``: the method has no target.
    """
    if targeted:
        raise SettingError("attack=deepfool has no target: use targeted=false, or attack=ddn, fmn or cw")
    movable, best = batch.movable, Shortest(batch)
    total, others = torch.zeros_like(batch.x), batch.y[:, None]  # others: (N, K), chosen at the clean clip
    for step in range(steps + 1):
        delta = (total * (1 + overshoot)).requires_grad_(step < steps)
        with torch.set_grad_enabled(step < steps):
            logits = model(batch.x + delta)
        # Later displacements of a clip that has stopped equal its first success.
        best.offer(delta, length(delta), fooled(logits, batch.y, False) & ~best.found)
        if step == steps:
            break
        if step == 0:
            others = _others(logits.detach(), batch.y, classes)
        gaps = logits.gather(1, others) - logits.gather(1, batch.y[:, None])
        nearest, move = torch.full_like(best.size, torch.inf), torch.zeros_like(batch.x)
        for number in range(others.shape[1]):
            (slope,) = torch.autograd.grad(gaps[:, number].sum(), delta, retain_graph=number + 1 < others.shape[1])
            distance, way = _to_border(gaps[:, number].detach(), torch.where(movable, slope, 0), norm)
            closer = distance < nearest
            nearest = torch.where(closer, distance, nearest)
            move = torch.where(per_clip(closer), way, move)
        total = torch.where(per_clip(best.found), total, total + move)
    return best.result(model, batch, False, total * (1 + overshoot))


def _others(logits: Tensor, y: Tensor, classes: int) -> Tensor:
    """(N, K) the classes with the largest logits, apart from the true one."""
    return logits.scatter(1, y[:, None], -torch.inf).topk(min(classes, logits.shape[1] - 1), dim=1).indices


def _to_border(gap: Tensor, slope: Tensor, norm: Norm) -> tuple[Tensor, Tensor]:
    """(N,) distances to the border where ``gap`` (N,) is 0, and the displacements (N, C, T, V, M) that reach it."""
    flat = slope.flatten(1)
    dual = flat.norm(dim=1) if norm == "l2" else flat.abs().sum(dim=1)
    distance = torch.where(dual > 0, gap.abs() / dual.clamp(min=1e-30), torch.inf)
    way = slope / per_clip(dual.clamp(min=1e-30)) if norm == "l2" else slope.sign()
    return distance, per_clip(torch.where(dual > 0, distance, 0)) * way

"""One perturbation for all clips, fitted on training clips: displacements in body coordinates, or factors of bones."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.deepfool import deepfool
from skeleton_adv.attacks.losses import hinge
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.body_frame import to_body, to_camera, yaw
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.masks import Joints
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Range, Whole, checked
from skeleton_adv.core.tree import rebuilt

Kind = Literal["displacement", "bones"]
View = Callable[[SkeletonBatch, int], Model]


def fit_universal(
    view: View,
    pool: Pool,
    state: Mapping[str, Tensor] | None,
    *,
    kind: Kind = "displacement",
    method: Literal["gradient", "deepfool"] = "gradient",
    eps: Positive = 0.01,
    factor_eps: Annotated[float, Range("(0, 1)")] = 0.1,
    passes: Count = 20,
    clips: Count = 16,
    conf: NonNegative = 1.0,
    seed: Whole = 0,
    joints: Joints | None = None,
    frames: str | int | None = None,
    joint_eps: Mapping[str, float] | None = None,
) -> Iterator[dict[str, Tensor]]:
    """The perturbation after each pass over the training clips: ``delta`` (D, T, V) in metres, or (E,) factors - 1.

    On training clips, too, only the ``joints`` and ``frames`` of the attack's mask move.
    Raises ``SettingError`` for budgets of single joints.
    """
    if joint_eps is not None:
        raise SettingError("attack.joint_eps has no effect on a universal perturbation: leave it out, or choose joints")
    if method == "deepfool" and kind == "bones":
        raise SettingError("attack.method=deepfool has no effect on attack.kind=bones: set attack.method=gradient")
    first = pool.batch([0])
    empty = _empty(first, kind)
    delta, done = (state["delta"].to(empty), int(state["passes"])) if state else (empty, 0)
    for number in range(done, passes):
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(1000 * seed + number)).tolist()
        size = 1 if method == "deepfool" else min(clips, len(pool))
        for start in range(0, len(order) - size + 1, size):
            batch = pool.batch(order[start : start + size])
            model, batch = view(batch, number), batch.limited(joints, frames)
            if method == "deepfool":
                delta = _nearest(model, batch, delta)
            else:
                rate = (1 - number / passes) / 5 * (eps if kind == "displacement" else factor_eps)
                delta = delta - rate * _direction(model, batch, delta, kind, conf)
            delta = _within(delta, kind, eps, factor_eps)
        yield {"delta": delta, "passes": torch.tensor(number + 1)}


@needs("none", fit=fit_universal, aims=False)
@checked
def universal(
    model: Model,
    batch: SkeletonBatch,
    *,
    fitted: Mapping[str, Tensor],
    targeted: bool = False,
    kind: Kind = "displacement",
    method: Literal["gradient", "deepfool"] = "gradient",
    eps: Positive = 0.01,
    factor_eps: Annotated[float, Range("(0, 1)")] = 0.1,
    passes: Count = 20,
    clips: Count = 16,
    conf: NonNegative = 1.0,
    seed: Whole = 0,
) -> AttackResult:
    """Universal adversarial perturbations (Moosavi-Dezfooli et al., arXiv 1610.08401): one for all clips.

    The same displacement of each joint in each frame is added to every clip, in body coordinates: turned about the
    vertical axis so that the body's left is the same direction in all clips (``core.body_frame``). It is fitted on
    training clips, with gradients of the attacked network, and applied to test clips without calling it.

    - ``kind``: ``displacement``, or ``bones``: one factor per bone for all clips (the bone-length attack's variables)
    - ``method``: ``gradient`` lowers the margins of ``clips`` at a time by steps whose rate falls to 0; ``deepfool``
      adds the shortest step that fools one clip after the other, as in the paper (displacements only)
    - ``eps``: the largest displacement of a joint in a frame, in metres. It is a length, not a coordinate, because
      lengths do not depend on the direction in which the body faces
    - ``factor_eps``: the largest ``|factor - 1|``
    - ``passes``: over the training clips; ``conf``: a training clip whose margin is below ``-conf`` no longer counts

    Differs from the paper: the number of passes is fixed, and success is measured on test clips, not on those of the
    fit.
    """
    delta = fitted["delta"].to(batch.x)
    x_adv = torch.where(batch.movable, _applied(batch, delta, kind), batch.x)
    return AttackResult(x_adv.detach(), torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device))


def _empty(batch: SkeletonBatch, kind: Kind) -> Tensor:
    shape = (len(batch.skeleton.coords), *batch.x.shape[2:4])
    return batch.x.new_zeros(shape if kind == "displacement" else len(batch.skeleton.bones))


def _applied(batch: SkeletonBatch, delta: Tensor, kind: Kind) -> Tensor:
    """The perturbed clips (N, C, T, V, M); absent joints do not move."""
    if kind == "bones":
        return rebuilt(batch, (1 + delta).expand(len(batch), batch.x.shape[4], -1))
    return batch.x + torch.where(batch.movable, to_camera(delta, yaw(batch), batch), 0)


def _direction(model: Model, batch: SkeletonBatch, delta: Tensor, kind: Kind, conf: float) -> Tensor:
    """The direction in which the sum of the margins grows, of length 1 per joint and frame, or per factor."""
    moved = delta.detach().requires_grad_()
    loss = hinge(model(_applied(batch, moved, kind)), batch.y, False, conf).sum()
    (gradient,) = torch.autograd.grad(loss, moved)
    if kind == "bones":
        return gradient.sign()
    size: Tensor = gradient.norm(dim=0, keepdim=True)
    return gradient / size.clamp(min=1e-30)


def _nearest(model: Model, batch: SkeletonBatch, delta: Tensor) -> Tensor:
    """The perturbation plus the shortest step that fools this one clip; the same if the clip is already fooled."""
    moved = replace(batch, x=_applied(batch, delta, "displacement"))
    result = deepfool(model, moved, steps=10)
    step = to_body(result.x_adv - moved.x, yaw(batch), batch)[0]  # (3, T, V, M)
    exists = batch.mask[0]  # (1, T, V, M); joints of several persons are averaged
    return delta + (step * exists).sum(dim=-1) / exists.sum(dim=-1).clamp(min=1)


def _within(delta: Tensor, kind: Kind, eps: float, factor_eps: float) -> Tensor:
    """The nearest perturbation within the budget."""
    if kind == "bones":
        return delta.clamp(-factor_eps, factor_eps)
    size: Tensor = delta.norm(dim=0, keepdim=True)
    return delta * (eps / size.clamp(min=1e-30)).clamp(max=1)

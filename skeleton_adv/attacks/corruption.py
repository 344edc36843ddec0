"""Common corruptions: what a camera or a pose estimator does to clips without an adversary."""

from collections.abc import Callable
from typing import Annotated, Literal

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, needs
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal, uniform
from skeleton_adv.core.ranges import Range, Whole, checked
from skeleton_adv.core.tree import limbs

Kind = Literal["jitter", "lost", "occluded", "dropped", "interpolated", "yaw", "rate"]

JITTER = (0.002, 0.005, 0.01, 0.02, 0.04)  # metres, standard deviation of each coordinate
LOST = (0.05, 0.1, 0.2, 0.3, 0.4)  # share of a person's joints
OCCLUDED = ((1, 0.25), (1, 0.5), (2, 0.5), (2, 0.75), (2, 1.0))  # limbs of a person, share of the frames
DROPPED = (0.1, 0.2, 0.3, 0.5, 0.7)  # share of the frames
YAW = (10.0, 20.0, 30.0, 45.0, 60.0)  # degrees
RATE = (8.0, 6.0, 4.0, 3.0, 2.0)  # frames per second


@needs("none", passes=lambda **_: 0, aims=False)
@checked
def corruption(
    model: Model,
    batch: SkeletonBatch,
    *,
    targeted: bool = False,
    kind: Kind = "jitter",
    severity: Annotated[int, Range("[1, 5]")] = 3,
    up: Literal["y", "z"] = "y",
    seed: Whole = 0,
) -> AttackResult:
    """After Benchmarking Neural Network Robustness to Common Corruptions and Perturbations (Hendrycks and Dietterich,
    arXiv 1903.12261), for skeletons; the constants are ours.

    It makes no query, so it claims no success, and it has no target. Severities 1 to 5 of each ``kind``:

    - ``jitter``: Gaussian noise on each coordinate, 2, 5, 10, 20, 40 mm (standard deviation);
    - ``lost``: 5, 10, 20, 30, 40 % of each person's joints are lost from a random frame of the first half to the end;
    - ``occluded``: limbs of each person are occluded: 1 limb for 25, 50 %, 2 limbs for 50, 75, 100 % of the frames;
    - ``dropped``: 10, 20, 30, 50, 70 % of the frames are dropped and replaced by the last frame before them;
    - ``interpolated``: the same frames, interpolated linearly between the frames before and after;
    - ``yaw``: 10, 20, 30, 45, 60 degrees about the vertical axis ``up`` through the first position of the first
      person's root, to a random side; in an image, whose depth is unknown, horizontal distances shrink by the cosine;
    - ``rate``: a camera of 8, 6, 4, 3, 2 frames per second, resampled linearly to the clip's frames.

    Shares are of the joints and frames that the attack's masks allow. In an image, millimetres are thousandths of the
    image. A lost or occluded joint still exists in the mask, so it is held at its last seen position, as trackers do.
    Joints that do not exist do not change.
    """
    change = _KINDS[kind]
    x = change(batch, severity - 1, seed, up)
    none = torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    return AttackResult(torch.where(batch.movable, x, batch.x), none)


def _jitter(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    return batch.x + JITTER[level] * normal(batch.x, batch.index, seed, "jitter")


def _lost(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    frames, exists = batch.x.shape[2], batch.movable.any(dim=1).any(dim=1)  # exists: (N, V, M)
    order = _ranks(uniform(batch.x[:, 0, 0], batch.index, seed, "lost joints"), exists)
    lost = exists & (order < (LOST[level] * exists.sum(dim=1, keepdim=True)).round().clamp(min=1))
    share = uniform(batch.x[:, 0, 0], batch.index, seed, "first lost frame")
    first = 1 + (share * max(frames // 2, 1)).floor().clamp(max=max(frames // 2, 1) - 1)
    hidden = lost[:, None] & (_times(batch) >= first[:, None, None])[:, 0]
    return _held(batch.x, batch.mask & ~hidden[:, None])


def _occluded(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    frames, parts = batch.x.shape[2], limbs(batch.skeleton)
    number, share = OCCLUDED[level]
    movable = batch.movable.any(dim=1).any(dim=1)  # (N, V, M)
    exists = torch.stack([movable[:, list(part)].any(dim=1) for part in parts], dim=1)
    like = batch.x[:, 0, 0, :1].expand(-1, len(parts), -1)
    chosen = exists & (_ranks(uniform(like, batch.index, seed, "occluded limbs"), exists) < number)  # (N, L, M)
    span = max(1, round(share * (frames - 1)))
    first = (uniform(like, batch.index, seed, "first occluded frame") * (frames - span)).ceil()  # from 1
    hidden = torch.zeros_like(batch.mask)
    for number, part in enumerate(parts):
        since = _times(batch) - first[:, number].view(len(batch), 1, 1, 1, -1)
        hidden[:, :, :, list(part)] |= chosen[:, number].view(len(batch), 1, 1, 1, -1) & (since >= 0) & (since < span)
    return _held(batch.x, batch.mask & ~hidden)


def _dropped(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    return _held(batch.x, batch.mask & ~_gaps(batch, level, seed))


def _interpolated(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    return _bridged(batch.x, batch.mask & ~_gaps(batch, level, seed))


def _yaw(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    side = torch.where(uniform(batch.x[:, 0, 0, 0, 0], batch.index, seed, "yaw") < 0.5, -1.0, 1.0).to(batch.x.dtype)
    angle = (side * YAW[level]).deg2rad().view(-1, 1, 1, 1)
    first = batch.mask[:, 0, :, batch.skeleton.root, 0].int().argmax(dim=1)
    root = batch.x[torch.arange(len(batch), device=batch.x.device), :, first, batch.skeleton.root, 0]  # (N, C)
    across, x = batch.skeleton.coords[0], batch.x.clone()
    centre = root[:, across].view(-1, 1, 1, 1)
    if len(batch.skeleton.coords) < 3:
        x[:, across] = centre + (batch.x[:, across] - centre) * angle.cos()
        return x
    deep = batch.skeleton.coords[2 if up == "y" else 1]
    behind = root[:, deep].view(-1, 1, 1, 1)
    a, b = batch.x[:, across] - centre, batch.x[:, deep] - behind
    x[:, across] = centre + a * angle.cos() + b * angle.sin()
    x[:, deep] = behind + b * angle.cos() - a * angle.sin()
    return x


def _rate(batch: SkeletonBatch, level: int, seed: int, up: str) -> Tensor:
    """Each frame between the two recorded instants around it; after the last instant, its pose is held."""
    last = batch.x.shape[2] - 1
    interval = (1 / (RATE[level] * batch.dt.to(batch.x.dtype))).clamp(min=1).view(-1, 1, 1, 1, 1)  # in frames
    times = _times(batch)
    before = (times / interval).floor() * interval
    after = torch.where(before + interval > last, before, before + interval)
    weight = (times - before) / interval
    found, known = torch.zeros_like(batch.x), batch.mask.clone()
    for instant, share in ((before, 1 - weight), (after, weight)):
        low = instant.floor()
        for frame, part in ((low, 1 - (instant - low)), ((low + 1).clamp(max=last), instant - low)):
            number = frame.long().expand_as(batch.mask)
            found += share * part * batch.x.gather(2, number.expand_as(batch.x))
            known &= batch.mask.gather(2, number) | (share * part == 0)
    return torch.where(known, found, batch.x)


def _gaps(batch: SkeletonBatch, level: int, seed: int) -> Tensor:
    """(N, 1, T, 1, 1) bool: the frames that are dropped; never the first."""
    later = batch.movable.flatten(3).any(dim=3).any(dim=1)[:, 1:]  # (N, T - 1)
    order = _ranks(uniform(batch.x[:, 0, 1:, 0, 0], batch.index, seed, "dropped frames"), later)
    dropped = later & (order < (DROPPED[level] * later.sum(dim=1, keepdim=True)).round().clamp(min=1))
    return torch.cat([torch.zeros_like(dropped[:, :1]), dropped], dim=1).view(len(batch), 1, -1, 1, 1)


def _ranks(scores: Tensor, eligible: Tensor) -> Tensor:
    """The rank of each score along dimension 1, from 0; those that are not eligible come last."""
    return torch.where(eligible, scores, torch.inf).argsort(dim=1, stable=True).argsort(dim=1)


def _times(batch: SkeletonBatch) -> Tensor:
    """(1, 1, T, 1, 1) numbers of the frames."""
    return torch.arange(batch.x.shape[2], device=batch.x.device, dtype=batch.x.dtype).view(1, 1, -1, 1, 1)


def _held(x: Tensor, seen: Tensor) -> Tensor:
    """Each joint at its last position that is ``seen`` (N, 1, T, V, M); where there is none, as it is."""
    last = torch.where(seen, _numbers(x), -1).cummax(dim=2).values
    return torch.where(last >= 0, x.gather(2, last.clamp(min=0).expand_as(x)), x)


def _bridged(x: Tensor, seen: Tensor) -> Tensor:
    """Each joint between its positions that are ``seen`` before and after; held where there is none after."""
    frames = x.shape[2]
    last = torch.where(seen, _numbers(x), -1).cummax(dim=2).values
    following = torch.where(seen, _numbers(x), frames).flip(2).cummin(dim=2).values.flip(2)
    weight = (_numbers(x) - last).to(x.dtype) / (following - last).clamp(min=1)
    start, end = (x.gather(2, number.clamp(0, frames - 1).expand_as(x)) for number in (last, following))
    return torch.where((last >= 0) & (following < frames), start + weight * (end - start), _held(x, seen))


def _numbers(x: Tensor) -> Tensor:
    return torch.arange(x.shape[2], device=x.device).view(1, 1, -1, 1, 1)


_KINDS: dict[Kind, Callable[[SkeletonBatch, int, int, str], Tensor]] = {
    "jitter": _jitter,
    "lost": _lost,
    "occluded": _occluded,
    "dropped": _dropped,
    "interpolated": _interpolated,
    "yaw": _yaw,
    "rate": _rate,
}

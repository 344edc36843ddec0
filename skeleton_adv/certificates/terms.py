"""Radii in the body's terms: percent of bone length, degrees of yaw, and millimetres of motion."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bones_exist
from skeleton_adv.core.tree import bone_vectors, displacement
from skeleton_adv.core.turning import Up, first_root, level

Terms = dict[str, float]  # columns of a row of certificates
MOTIONS = ("constant", "hz1", "hz5", "jitter")  # kinds of motion in time
HERTZ = {"hz1": 1.0, "hz5": 5.0}


def motion_terms(batch: SkeletonBatch, radii: Sequence[float], covariance: Tensor, scales: Tensor) -> list[Terms]:
    """Millimetres (rms) by kind of motion, for noise of ``covariance`` (T, T) in time and ``scales`` (V,) of joints.

    Every motion of the kind whose rms over the existing joints and frames is below ``<kind>_mm`` is within the radius,
    and every such motion of one joint whose rms over its frames is below ``<kind>_joint_mm``. Each joint has its own
    direction, amplitude and phase. The covariance of absent entries is left out: the length of a displacement d is
    (d' S^-1 d)^(1/2), where S is the block of the existing entries. Empty above the Nyquist frequency.
    """
    found: list[Terms] = []
    for mask, dt, radius in zip(batch.mask[:, 0].cpu(), batch.dt.tolist(), radii, strict=True):
        patterns, counts = _patterns(mask, scales)
        total = sum(counts.values())
        terms: Terms = {}
        for kind in MOTIONS:
            sizes = [(_size(kind, shown, dt, covariance) / scale**2, sum(shown)) for shown, scale in patterns]
            if total and not math.isnan(sum(size for size, _ in sizes)):
                worst = max(size for size, _ in sizes)
                terms[f"{kind}_mm"] = 1000 * radius / math.sqrt(worst * total)
                terms[f"{kind}_joint_mm"] = 1000 * radius / math.sqrt(max(size * frames for size, frames in sizes))
        found.append(terms)
    return found


Pattern = tuple[tuple[bool, ...], float]  # the frames in which a joint exists, and its scale


def _patterns(mask: Tensor, scales: Tensor) -> tuple[list[Pattern], dict[Pattern, int]]:
    """The patterns of the joints of one clip (T, V, M) that exist, and how many entries have each."""
    counts: dict[Pattern, int] = {}
    for joint, scale in enumerate(scales.tolist()):
        for person in range(mask.shape[2]):
            shown = tuple(mask[:, joint, person].tolist())
            if any(shown):
                counts[shown, scale] = counts.get((shown, scale), 0) + sum(shown)
    return list(counts), counts


def _size(kind: str, shown: tuple[bool, ...], dt: float, covariance: Tensor) -> float:
    """The largest u' S^-1 u of a motion u of this kind with l2 norm 1 on the frames ``shown``; NaN if there is none."""
    times = torch.arange(len(shown), dtype=torch.float64)
    if kind in HERTZ:
        if HERTZ[kind] > 0.5 / dt:
            return math.nan
        angle = 2 * math.pi * HERTZ[kind] * dt * times
        span = torch.stack([angle.cos(), angle.sin()], dim=1)
    else:
        span = (torch.ones_like(times) if kind == "constant" else (-1) ** times)[:, None]
    there = torch.tensor(shown)
    left, sizes, _ = torch.linalg.svd(span[there], full_matrices=False)
    basis = left[:, sizes > 1e-9 * sizes[0]]  # two columns, or one if sine vanishes on these frames
    block = covariance[there][:, there]
    form = basis.T @ torch.linalg.solve(block, basis)
    return float(torch.linalg.eigvalsh(form)[-1])


def rigid_terms(
    batch: SkeletonBatch,
    radii: Sequence[float],
    whitened: Callable[[SkeletonBatch, Tensor], Tensor],
    up: Up = "y",
) -> list[Terms]:
    """What a radius over displacements says of bone lengths, body size and yaw; ``whitened`` gives their parameters.

    ``bone_percent``: every factor of each bone between 1 - x and 1 + x, one per bone over the clip, displaces the
    joints by a length of at most x b, where b^2 is the smaller of two bounds of max f' G f over |f_e| <= 1, with the
    Gram matrix G of the displacements: the sum of |G|, and the number of bones times the largest eigenvalue.
    ``scale_percent``: the same factor for all bones; its length is exact. ``yaw_degrees``: a rotation by phi about a
    vertical axis through the first root; its length is exactly 2 sin(phi / 2) times that of the horizontal positions.
    """
    bones, sizes = _bone_lengths(batch, whitened)
    turns = _turn_lengths(batch, whitened, up)
    return [
        {
            "bone_percent": _percent(radius, bone),
            "scale_percent": _percent(radius, size),
            **({} if turn is None else {"yaw_degrees": _degrees(radius, turn)}),
        }
        for radius, bone, size, turn in zip(radii, bones, sizes, turns, strict=True)
    ]


def bone_counts(batch: SkeletonBatch) -> list[int]:
    """The number of bones of each clip, of all persons, that exist in a frame."""
    counts: list[int] = bones_exist(batch).any(dim=1).flatten(1).sum(dim=1).tolist()
    return counts


def _percent(radius: float, length: float) -> float:
    return 100 * min(radius / length, 1.0) if length else math.nan


def _degrees(radius: float, length: float) -> float:
    return math.degrees(2 * math.asin(min(radius / (2 * length), 1.0))) if length else math.nan


def _bone_lengths(
    batch: SkeletonBatch, whitened: Callable[[SkeletonBatch, Tensor], Tensor]
) -> tuple[list[float], list[float]]:
    """Bounds of the length of a change of all bones by a share of 1, in any direction and in the same, per clip."""
    vectors = bone_vectors(batch.x, batch)  # (N, C, T, M, E)
    changes = [
        whitened(batch, displacement(torch.where(_one(vectors, person, bone), vectors, 0), batch)).flatten(1)
        for person in range(vectors.shape[3])
        for bone in range(vectors.shape[4])
    ]
    own = torch.stack(changes, dim=1).double()  # (N, M E, D)
    gram = own @ own.transpose(1, 2)
    present = torch.tensor(bone_counts(batch), device=gram.device)
    largest = torch.linalg.eigvalsh(gram)[:, -1].clamp(min=0) * present
    any_direction = torch.minimum(gram.abs().sum(dim=(1, 2)), largest).sqrt()
    same: list[float] = own.sum(dim=1).norm(dim=1).tolist()
    return any_direction.tolist(), same


def _one(vectors: Tensor, person: int, bone: int) -> Tensor:
    """(M, E) bool: one bone of one person."""
    chosen = torch.zeros(vectors.shape[3:], dtype=torch.bool, device=vectors.device)
    chosen[person, bone] = True
    return chosen


def _turn_lengths(
    batch: SkeletonBatch, whitened: Callable[[SkeletonBatch, Tensor], Tensor], up: Up
) -> list[float | None]:
    """The length of the horizontal positions relative to the first root, per clip; None for joints in an image."""
    if len(batch.skeleton.coords) < 3:
        return [None] * len(batch)
    positions = torch.zeros_like(batch.x)
    channels = level(batch.skeleton, up)
    centre = first_root(batch)[:, channels].view(len(batch), 2, 1, 1, 1)
    positions[:, channels] = batch.x[:, channels] - centre
    lengths: list[float | None] = whitened(batch, positions).flatten(1).double().norm(dim=1).tolist()
    return lengths

"""How far limits on a body let a clip move: upper bounds on its displacement, which a certificate must exceed.

Proof of ``longest``. Let s >= 0 be the lengths of the displacements of existing joints; other joints do not move. Each
limit, with its slack for rounding, implies linear inequalities on s:

- ``RootPath``: s_root <= eps.
- ``BoneLength``: a joint v and its parent p move by d_v - d_p = b' - b, where b' is the new bone. Its length r is
  within (1 +- eps) B, and its angle to b is at most theta (``BoneDirection``; otherwise pi), so |s_v - s_p| <= |b' - b|
  <= sqrt(r^2 + B^2 - 2 r B cos theta). This is convex in r, so it is largest at an end of the interval.
- ``Speed``: |s_t+1 - s_t| <= |v' - v|, which is at most |v'| + |v| <= 2 |v| + tolerance, or, with ``reading=velocity``,
  at most the tolerance.
- ``JointAngle``: the estimate itself, w_a s_a + w_b s_b + w_c s_c <= eps.

Taken one at a time, they give s_i <= u_i, by shortest paths. If A s <= b are all of them and w_i >= 0 are weights, then
for any multipliers y >= 0

    sum_i w_i s_i^2 <= y b + sum_i (w_i s_i^2 - (A'y)_i s_i) <= y b + sum_i u_i relu(w_i u_i - (A'y)_i),

because A s <= b, and a convex function of s_i on [0, u_i] is largest at an end. The best y solves a linear program. The
bound is computed from y itself, so it is valid for every result of the solver.

A limit of another kind only makes the set smaller, so a bound holds with it too. ``Ball``, ``BoneFactor`` and ``View``
have their own bounds, and the smallest bound counts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.constraints import (
    SLACK,
    Ball,
    BoneDirection,
    BoneFactor,
    BoneLength,
    Constraint,
    JointAngle,
    Limits,
    RootPath,
    Speed,
    View,
)
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths, bones_exist, joints_last, length, triples, velocities
from skeleton_adv.core.tree import bone_vectors, displacement
from skeleton_adv.core.turning import first_root, level

Constraints = Mapping[str, Constraint]


def longest(constraints: Constraints, batch: SkeletonBatch, weights: Tensor | None = None) -> Tensor:
    """(N,) an upper bound on the l2, in metres, of the displacement of any clip that satisfies all ``constraints``.

    With ``weights`` (N, T, V, M), none negative, it bounds the square root of the weighted sum of the squares of the
    displacements of joints. ``inf``: the limits do not bound the displacement of some joint.
    """
    exact = batch.to(dtype=torch.float64)
    weights = torch.ones_like(exact.x[:, 0]) if weights is None else weights.to(exact.x)
    bounds = [_by_sizes(constraints, exact, weights)]
    heaviest = weights.flatten(1).amax(dim=1).sqrt()
    for constraint in constraints.values():
        if isinstance(constraint, Ball):
            bounds.append(heaviest * _of_ball(constraint, exact))
        if isinstance(constraint, BoneFactor):
            bounds.append(heaviest * _of_factors(constraint, exact))
        if isinstance(constraint, View):
            bounds.append(heaviest * _of_view(constraint, exact))
    return torch.stack(bounds).amin(dim=0)


def squared_steps(constraints: Constraints, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """Bounds on squares: by how much a joint's displacement changes from frame to frame, and how long it is.

    (N, T-1, V, M) and (N, T, V, M), of a batch in float64; ``inf`` where there is no limit.
    """
    n, _, t, v, m = batch.x.shape
    places = torch.arange(t * m * v, device=batch.x.device).view(t, m, v)
    speeds = [_speeds(one, batch, places)[2] for one in constraints.values() if isinstance(one, Speed)]
    unlimited = batch.x.new_full((n, (t - 1) * m * v), torch.inf)
    steps = torch.stack([unlimited, *speeds]).amin(dim=0).view(n, t - 1, m, v).transpose(2, 3)
    return steps.square(), sizes_of(constraints, batch).caps().view(n, t, m, v).transpose(2, 3).square()


@dataclass(frozen=True)
class Sizes:
    """Linear inequalities on the lengths s (N, S) of the displacements of the joints of N clips.

    ``s[first] - s[second]`` is at most ``apart`` either way; ``sum(share * s[members])`` is at most ``most``. An
    inequality that does not hold for a clip has an infinite right side.
    """

    upper: Tensor  # (N, S): 0 for joints that do not exist
    first: Tensor  # (P,)
    second: Tensor  # (P,)
    apart: Tensor  # (N, P)
    members: Tensor  # (R, 3)
    share: Tensor  # (N, R, 3)
    most: Tensor  # (N, R)

    def caps(self) -> Tensor:
        """(N, S) the largest length of each joint that the inequalities allow if sums are taken alone."""
        caps = self.upper.clone()
        alone = self.most[..., None] / self.share.clamp(min=1e-30)  # the other lengths of a sum are not negative
        caps.scatter_reduce_(1, self.members.flatten().expand(len(caps), -1), alone.flatten(1), "amin")
        for _ in range(caps.shape[1]):  # a shortest path has at most as many steps
            before = caps.clone()
            for a, b in ((self.first, self.second), (self.second, self.first)):
                caps.scatter_reduce_(1, b.expand(len(caps), -1), caps[:, a] + self.apart, "amin")
            if torch.equal(caps, before):
                break
        return caps


def _by_sizes(constraints: Constraints, batch: SkeletonBatch, weights: Tensor) -> Tensor:
    """(N,) the bound of ``longest`` from the inequalities on lengths."""
    sizes = sizes_of(constraints, batch)
    caps, heavy = sizes.caps(), weights.transpose(2, 3).flatten(1)
    squares = [_of_clip(sizes, n, caps[n].numpy(force=True), heavy[n].numpy(force=True)) for n in range(len(batch))]
    return torch.tensor(squares).to(batch.x).sqrt()


def _of_clip(sizes: Sizes, n: int, caps: np.ndarray, weights: np.ndarray) -> float:
    """The bound on the weighted sum of squares of clip n, by the best multipliers of a linear program."""
    from scipy import optimize  # takes a second to import

    if not np.isfinite(caps).all():
        return math.inf
    gain, whole = weights * caps, float((weights * caps**2).sum())
    matrix, right = _system(sizes, n, caps)
    if matrix is None:
        return whole
    solver: Any = optimize.linprog
    solved = solver(-gain, A_ub=matrix, b_ub=right, bounds=np.stack((np.zeros_like(caps), caps), axis=1))
    if solved.status != 0:
        return whole
    y = np.maximum(-solved.ineqlin.marginals, 0)
    return min(whole, float(y @ right + (caps * np.maximum(gain - matrix.T @ y, 0)).sum()))


def _system(sizes: Sizes, n: int, caps: np.ndarray) -> tuple[Any, np.ndarray]:
    """The inequalities A s <= b of clip n that the caps do not satisfy already; A is None if they satisfy all sums."""
    from scipy.sparse import csr_array

    members, share, most = (part.numpy(force=True) for part in (sizes.members, sizes.share[n], sizes.most[n]))
    binding = np.flatnonzero((share * caps[members]).sum(axis=1) > most)
    if not len(binding):  # the caps satisfy the differences too, since they are shortest paths
        return None, most[:0]
    columns, values, right = [members[binding]], [share[binding]], [most[binding]]
    first, second, apart = (part.numpy(force=True) for part in (sizes.first, sizes.second, sizes.apart[n]))
    for a, b in ((first, second), (second, first)):
        active = np.flatnonzero(caps[a] > apart)
        columns.append(np.stack((a[active], b[active], b[active]), axis=1))
        values.append(np.tile([1.0, -1.0, 0.0], (len(active), 1)))
        right.append(apart[active])
    column = np.concatenate(columns)
    places = (np.repeat(np.arange(len(column)), 3), column.ravel())
    return csr_array((np.concatenate(values).ravel(), places), shape=(len(column), len(caps))), np.concatenate(right)


def sizes_of(constraints: Constraints, batch: SkeletonBatch) -> Sizes:
    """The inequalities that the limits of a batch in float64 imply."""
    places = torch.arange(batch.mask[0].numel(), device=batch.x.device)
    t, v, m = batch.mask.shape[2:]
    places = places.view(t, m, v)
    upper = torch.full_like(batch.x[:, 0].transpose(2, 3), torch.inf)
    upper = torch.where(joints_last(batch.movable, batch.skeleton).any(dim=1), upper, 0)
    pairs, sums = [_bones(constraints, batch, places)], []
    for constraint in constraints.values():
        if isinstance(constraint, RootPath):
            root = _right(constraint.on(batch)).view(len(batch), t, m)
            upper[..., batch.skeleton.root] = torch.minimum(upper[..., batch.skeleton.root], root)
        if isinstance(constraint, Speed):
            pairs.append(_speeds(constraint, batch, places))
        if isinstance(constraint, JointAngle):
            sums.append(_angles(constraint, batch, places))
    first, second, apart = (torch.cat(parts, dim=-1) for parts in zip(*pairs, strict=True))
    if not sums:
        sums = [(places.new_zeros(0, 3), upper.new_zeros(len(batch), 0, 3), upper.new_zeros(len(batch), 0))]
    members, share, most = (
        torch.cat(parts, dim=min(1, number)) for number, parts in enumerate(zip(*sums, strict=True))
    )
    return Sizes(upper.flatten(1), first, second, apart, members, share, most)


def _right(limits: Limits) -> Tensor:
    """(N, K) the largest deviation that counts as feasible; ``inf`` where the entry does not exist."""
    return torch.where(limits.exists, limits.tolerance + limits.slack, torch.inf)


def _bones(constraints: Constraints, batch: SkeletonBatch, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By how much the displacements of the two joints of each bone differ at most."""
    size, exists = bone_lengths(batch.x, batch.skeleton), bones_exist(batch)  # (N, T, M, E)
    lengths = [one for one in constraints.values() if isinstance(one, BoneLength)]
    turns = [one for one in constraints.values() if isinstance(one, BoneDirection)]
    changed = min((one.eps for one in lengths), default=math.inf) * size + SLACK
    angle = min((one.eps for one in turns), default=math.inf) + 2 * SLACK / size.clamp(min=SLACK)
    cosine = angle.clamp(max=math.pi).cos()
    ends = [size + changed, (size - changed).clamp(min=0)]
    chords = [(end.square() + size.square() - 2 * end * size * cosine).clamp(min=0).sqrt() for end in ends]
    apart = torch.where(exists, torch.maximum(*chords), torch.inf).nan_to_num(nan=torch.inf, posinf=torch.inf)
    children, parents = (list(joints) for joints in zip(*batch.skeleton.bones, strict=True))
    return places[..., children].flatten(), places[..., parents].flatten(), apart.flatten(1)


def _speeds(constraint: Speed, batch: SkeletonBatch, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """By how much the displacements of a joint in two frames differ at most."""
    most = _right(constraint.on(batch))
    if constraint.reading == "speed":
        most = most + 2 * length(velocities(batch.x, batch.skeleton)).flatten(1)
    n, (t, m, v) = len(batch), places.shape
    most = most.view(n, t - 1, v, m).transpose(2, 3).flatten(1)
    return places[1:].flatten(), places[:-1].flatten(), most


def _angles(constraint: JointAngle, batch: SkeletonBatch, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The sums of displacements that the estimate of each angle limits."""
    ends, middles, others = triples(batch.skeleton, batch.x.device)
    x = joints_last(batch.x, batch.skeleton)
    one, two = (1 / (length(x[..., joint] - x[..., middles]) + batch.skeleton.length_floor) for joint in (ends, others))
    share = torch.stack((one, one + two, two), dim=-1)  # (N, T, M, A, 3)
    members = torch.stack([places[..., joint] for joint in (ends, middles, others)], dim=-1)
    return members.flatten(0, 2), share.flatten(1, 3), _right(constraint.on(batch))


def _of_ball(ball: Ball, batch: SkeletonBatch) -> Tensor:
    """(N,) the longest displacement in a ball."""
    movable = batch.movable.flatten(1).sum(dim=1).to(batch.x)
    joints = batch.mask.flatten(1).sum(dim=1).to(batch.x)
    longest_of_one = {"l2": torch.ones_like(joints), "linf": movable.sqrt(), "rms": joints.sqrt()}[ball.norm]
    return (ball.eps + SLACK) * longest_of_one


def _of_factors(constraint: BoneFactor, batch: SkeletonBatch) -> Tensor:
    """(N,) the longest displacement by one factor per bone within 1 +- eps.

    The displacement is linear in the changes g of the factors, so its square is ``g' Q g``, and with every ``|g|`` at
    most eps, it is at most ``eps^2 sum |Q|``. Rounding adds ``SLACK`` per joint.
    """
    bones = bone_vectors(batch.x, batch)  # (N, C, T, M, E)
    one = torch.eye(bones.shape[-1]).to(bones)
    moved = torch.stack([displacement(bones * row, batch) * batch.movable for row in one], dim=1)  # (N, E, C, T, V, M)
    gram = torch.einsum("nectvm,nfctvm->nmef", moved, moved)
    joints = batch.mask.flatten(1).sum(dim=1).to(bones)
    return constraint.eps * gram.abs().flatten(1).sum(dim=1).sqrt() + SLACK * joints.sqrt()


def _of_view(constraint: View, batch: SkeletonBatch) -> Tensor:
    """(N,) the l2 of the largest turn, in which a joint at the distance r from the axis moves by 2 r sin(angle / 2)."""
    centre = first_root(batch).view(*batch.x.shape[:2], 1, 1, 1)
    radii = torch.where(batch.movable, batch.x - centre, 0)[:, level(batch.skeleton, constraint.up)]
    joints = batch.mask.flatten(1).sum(dim=1).to(batch.x)
    chord = 2 * math.sin(math.radians(constraint.eps) / 2)
    bound: Tensor = chord * radii.flatten(1).norm(dim=1) + SLACK * joints.sqrt()
    return bound

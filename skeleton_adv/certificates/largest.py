"""The largest change within limits, in the unit of a radius: a clip is certified within them if its radius exceeds it.

Each space of smoothing noise has its own kind of change:

- ``joints``: the l2 of displacements, ``reach.longest``.
- ``correlated``: their Mahalanobis length. With P the inverse of the covariance in time of a joint, D the differences
  of consecutive frames and any mu >= 0, P is at most lambda I + mu D'D, where lambda is the largest eigenvalue of
  P - mu D'D, or 0. Hence d'Pd <= lambda |d|^2 + mu |Dd|^2, where limits on speeds bound Dd in each frame, and
  ``reach.longest`` bounds the sum of the first terms over joints. The best mu of a grid is chosen for each joint.
- ``bones``: log factors of the bones. With factors in [1 - x, 1 + x], each is at most -ln(1 - x) in absolute value, and
  E of them together are at most sqrt(E) (-ln(1 - x)) long, which all factors 1 - x attain.
- ``yaw``: the angle itself.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor

from skeleton_adv.certificates.body import Bones, Yaw, YawAnd
from skeleton_adv.certificates.correlated import Correlated
from skeleton_adv.certificates.reach import longest, squared_steps
from skeleton_adv.certificates.space import Joints, Space
from skeleton_adv.certificates.terms import bone_counts
from skeleton_adv.constraints import BoneFactor, Constraint, View
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError

Constraints = Mapping[str, Constraint]
Kind = TypeVar("Kind", bound=Constraint)
STEPS = (0.0, *(10 ** (power / 4) for power in range(-8, 13)))  # the grid of mu, in units of 1 / variance


def check_limits(space: Space, name: str, constraints: Constraints, option: str) -> None:
    """Raise ``SettingError`` if a certificate in this space says nothing about clips within these limits."""
    inner = _without_yaw(space)
    found = isinstance(inner, Joints | Correlated)
    found |= isinstance(inner, Bones) and _of_kind(constraints, BoneFactor) is not None
    view = _of_kind(constraints, View)
    found |= _turns(space) and view is not None
    if not found:
        raise SettingError(
            f"smoothing.space={name} certifies no clip within constraint={option}, which allows other changes: use "
            "space=joints or correlated for limits on joints, bones with constraint=bone10, yaw with constraint=yaw10"
        )
    if view is not None and _turns(space) and view.up != space.up:  # type: ignore[attr-defined]
        raise SettingError(
            f"smoothing.up={space.up} is not the axis of constraint={option}, {view.up}: set the same"  # type: ignore[attr-defined]
        )


def largest(space: Space, constraints: Constraints, batch: SkeletonBatch) -> Tensor:
    """(N,) an upper bound, in the unit of the radius, on the change of any clip that satisfies ``constraints``."""
    view, bones = _of_kind(constraints, View), _of_kind(constraints, BoneFactor)
    if view is not None and _turns(space):
        angle = torch.full((len(batch),), math.radians(view.eps), dtype=torch.float64, device=batch.x.device)
        return angle / (space.turn if isinstance(space, YawAnd) else 1)
    inner = _without_yaw(space)
    if isinstance(inner, Bones) and bones is not None:
        return torch.tensor(bone_counts(batch)).to(batch.x).double().sqrt() * -math.log1p(-bones.eps)
    if isinstance(inner, Correlated):
        return _mahalanobis(inner, constraints, batch)
    return longest(constraints, batch)


def length_of(space: Space, constraints: Constraints, batch: SkeletonBatch, x_adv: Tensor) -> Tensor:
    """(N,) the change of the clips x_adv (N, C, T, V, M) in the unit of the radius, to compare with ``largest``."""
    exact, x_adv = batch.to(dtype=torch.float64), x_adv.double()
    view, bones = _of_kind(constraints, View), _of_kind(constraints, BoneFactor)
    if view is not None and _turns(space):
        return view.angle(x_adv, exact).abs() / (space.turn if isinstance(space, YawAnd) else 1)
    inner = _without_yaw(space)
    if isinstance(inner, Bones) and bones is not None:
        logs: Tensor = bones.factors(x_adv, exact).log().flatten(1).norm(dim=1)
        return logs
    displacements = inner if isinstance(inner, Joints | Correlated) else Joints()
    return displacements.length(exact, x_adv - exact.x)


def _mahalanobis(space: Correlated, constraints: Constraints, batch: SkeletonBatch) -> Tensor:
    """(N,) the bound on the Mahalanobis length of displacements."""
    exact = batch.to(dtype=torch.float64)
    n, _, t, v, m = exact.x.shape
    covariance = space.covariance(t).to(exact.x)
    steps, caps = squared_steps(constraints, exact)  # (N, T-1, V, M), (N, T, V, M)
    shown = batch.mask[:, 0].permute(0, 2, 3, 1).reshape(-1, t)  # (N V M, T)
    limited = steps.isfinite().permute(0, 2, 3, 1).reshape(-1, t - 1)
    most = torch.where(steps.isfinite(), steps, 0).sum(dim=1).flatten()  # (N V M,) of |Dd|^2
    whole = caps.sum(dim=1).flatten()
    both: Any = torch.cat([shown, limited], dim=1)
    patterns, which = both.unique(dim=0, return_inverse=True)
    heights = torch.stack([_heights(covariance, one[:t], one[t:]) for one in patterns])[which]  # (N V M, S)
    mu = torch.tensor(STEPS).to(exact.x)
    best = (heights * whole.clamp(max=1e30)[:, None] + mu * most[:, None]).argmin(dim=1)
    scales = space.scales(batch.skeleton).to(exact.x).view(v, 1)
    height = heights.gather(1, best[:, None]).view(n, v, m) / scales.square()
    extra = ((mu[best] * most).view(n, v, m) / scales.square()).flatten(1).sum(dim=1)
    weights = height[:, None].expand(-1, t, -1, -1)
    return (longest(constraints, batch, weights).square() + extra).sqrt()


def _heights(covariance: Tensor, shown: Tensor, limited: Tensor) -> Tensor:
    """(S,) for each mu of the grid, the largest eigenvalue of P - mu D'D over the frames that are ``shown``, or 0."""
    frames = shown.nonzero()[:, 0]
    if not len(frames):
        return covariance.new_zeros(len(STEPS))
    precision = torch.linalg.inv(covariance[frames][:, frames])
    differences = torch.eye(len(shown)).to(covariance).diff(dim=0)[limited][:, frames]
    square = differences.T @ differences
    matrices = torch.stack([precision - mu * square for mu in STEPS])
    heights: Tensor = torch.linalg.eigvalsh(matrices)[:, -1].clamp(min=0) * (1 + 1e-9)  # of rounding
    return heights


def _without_yaw(space: Space) -> Space:
    """The space of the noise beside yaw, if it has yaw."""
    return space.others if isinstance(space, YawAnd) else space


def _turns(space: Space) -> bool:
    """Whether an angle about the first root is a parameter of the space."""
    return isinstance(space, Yaw) or (isinstance(space, YawAnd) and space.about_root)


def _of_kind(constraints: Constraints, kind: type[Kind]) -> Kind | None:
    return next((one for one in constraints.values() if isinstance(one, kind)), None)

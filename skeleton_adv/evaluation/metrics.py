"""Measures of the difference between an adversarial clip and its clean clip; every value is (N,)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from skeleton_adv.constraints import Constraint
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import coordinates, joint_angles, velocities, velocities_exist


def measure(x_adv: Tensor, batch: SkeletonBatch, constraints: Mapping[str, Constraint]) -> dict[str, Tensor]:
    """All measures of the paper's tables for x_adv (N, C, T, V, M), computed in float64.

    These are the values of ``distances``; for each constraint, the mean and the maximum over existing
    entries and whether it is satisfied; the true change of angles; the relative change of kinetic energy;
    and ``feasible``, whether every constraint is satisfied.
    """
    clean = batch.to(dtype=torch.float64)
    x_adv = x_adv.double()
    columns = distances(x_adv, clean)
    feasible = columns["l2"].isfinite()
    for name, constraint in constraints.items():
        limits = constraint.on(clean)
        columns[f"{name}_mean"], columns[f"{name}_max"] = mean_and_max(limits.measure(x_adv), limits.exists)
        columns[f"{name}_ok"] = limits.satisfied(x_adv)
        feasible &= columns[f"{name}_ok"]
    columns["true_angle_mean"], columns["true_angle_max"] = mean_and_max(*angle_change(x_adv, clean))
    columns["kinetic"] = kinetic_energy_change(x_adv, clean)
    columns["feasible"] = feasible
    return columns


def distances(x_adv: Tensor, batch: SkeletonBatch) -> dict[str, Tensor]:
    """``l2`` over the whole clip and ``linf`` over its coordinates, in metres; ``rms_mm`` per joint and frame."""
    difference = coordinates(x_adv - batch.x, batch.skeleton).flatten(1)
    l2 = difference.norm(dim=1)
    joints = batch.mask.flatten(1).sum(dim=1).clamp(min=1).to(l2.dtype)
    return {"l2": l2, "linf": difference.abs().amax(dim=1), "rms_mm": 1000 * l2 / joints.sqrt()}


def mean_and_max(values: Tensor, exists: Tensor) -> tuple[Tensor, Tensor]:
    """(N,) mean and (N,) maximum of values (N, K) over existing entries; NaN for a clip that has none."""
    count = exists.sum(dim=1)
    values = torch.where(exists, values, 0)
    nan = torch.full_like(values[:, 0], torch.nan)
    return (
        torch.where(count > 0, values.sum(dim=1) / count, nan),
        torch.where(count > 0, values.amax(dim=1), nan),
    )


def angle_change(x_adv: Tensor, batch: SkeletonBatch) -> tuple[Tensor, Tensor]:
    """(N, K) true change of each angle in radians, and (N, K) bool: whether the angle exists.

    An angle exists if its three joints exist and no bone of it has length 0 in the clean or the adversarial clip.
    """
    clean, defined = joint_angles(batch.x, batch)
    adversarial, still_defined = joint_angles(x_adv, batch)
    exists = defined & still_defined
    for position in range(3):
        joints = torch.tensor([triple[position] for triple in batch.skeleton.angles], device=x_adv.device)
        exists &= batch.mask[:, 0].index_select(2, joints)
    return (adversarial - clean).abs().flatten(1), exists.flatten(1)


def kinetic_energy_change(x_adv: Tensor, batch: SkeletonBatch) -> Tensor:
    """(N,) ``|sum v'^2 / sum v^2 - 1|``; NaN for a clip without motion."""
    exists = velocities_exist(batch)[:, None]
    clean, adversarial = (
        torch.where(exists, velocities(x, batch.skeleton), 0).square().flatten(1).sum(dim=1) for x in (batch.x, x_adv)
    )
    return torch.where(clean > 0, (adversarial / clean - 1).abs(), torch.nan)

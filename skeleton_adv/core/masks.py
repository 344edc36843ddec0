"""The joints and frames that an attack may move, and budgets of single joints."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import Skeleton

Joints = Sequence[str | int]  # names or numbers


def allowed(skeleton: Skeleton, num_frames: int, joints: Joints | None, frames: str | int | None) -> Tensor:
    """(1, 1, T, V, 1) bool: the chosen joints in the chosen frames; None chooses all.

    ``frames`` is ``a:b``: from frame a to the frame before b of the T resampled frames, counted from 0; either may be
    left out. Raises ``SettingError`` if a joint does not exist or if nothing is chosen.
    """
    chosen = torch.zeros(1, 1, num_frames, skeleton.num_joints, 1, dtype=torch.bool)
    numbers = range(skeleton.num_joints) if joints is None else _numbers(skeleton, joints)
    chosen[:, :, _frames(frames, num_frames), list(numbers)] = True
    return chosen


def joint_budgets(skeleton: Skeleton, budgets: Mapping[str, float]) -> Tensor:
    """(V,) the budget of each joint, NaN for a joint that has none; raises ``SettingError`` for an unknown joint."""
    found = torch.full((skeleton.num_joints,), torch.nan)
    for name, budget in budgets.items():
        if isinstance(budget, bool) or not isinstance(budget, int | float) or not budget >= 0:
            raise SettingError(f"attack.joint_eps.{name}={budget} must be a number of at least 0")
        found[_number(skeleton, name, "attack.joint_eps")] = float(budget)
    return found


def _numbers(skeleton: Skeleton, joints: Joints) -> list[int]:
    if isinstance(joints, str) or not isinstance(joints, Sequence) or not joints:
        raise SettingError(f"attack.joints={joints} must be a list of joints, such as [{skeleton.joints[0]}]")
    return [_number(skeleton, joint, "attack.joints") for joint in joints]


def _number(skeleton: Skeleton, joint: str | int, key: str) -> int:
    """The number of a joint given by name or number."""
    if str(joint) in skeleton.joints:
        return skeleton.joints.index(str(joint))
    if not str(joint).isdigit():
        raise SettingError(f"{key}: {skeleton.name} has no joint {joint}: {nearest(str(joint), [*skeleton.joints])}")
    if int(joint) >= skeleton.num_joints:
        raise SettingError(f"{key}: joint {joint} is out of range: joints are numbered to {skeleton.num_joints - 1}")
    return int(joint)


def _frames(text: str | int | None, num_frames: int) -> slice:
    if text is None:
        return slice(None)
    first, colon, last = str(text).partition(":")
    if not colon or not all(part == "" or part.isdigit() for part in (first, last)):
        raise SettingError(f"attack.frames={text} must have the form a:b, such as 0:{num_frames // 2}")
    begin, end = int(first or 0), int(last or num_frames)
    if not begin < end <= num_frames:
        raise SettingError(f"attack.frames={text} is out of range: clips have the frames 0:{num_frames}")
    return slice(begin, end)

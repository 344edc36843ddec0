"""Which joint of one body corresponds to which joint of another, and clips moved from one body to another."""

import numpy as np

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton

# Joints of the same name correspond. These names differ, or are the same name of another joint; each is replaced by
# the name on its right. OpenPose's neck is the middle of the shoulders, which NTU calls spine. A front of the foot is
# the joint farthest from the ankle that most bodies have: Kinect's foot, OpenPose's big toe, MediaPipe's foot index.
_SIDES = ("left", "right")
_TOES = {f"{side}_big_toe": f"{side}_foot" for side in _SIDES}
_INDEX = {f"{side}_foot_index": f"{side}_foot" for side in _SIDES}
_ALIASES: dict[str, dict[str, str]] = {
    "ntu25": {"base_of_spine": "hip_center", "middle_of_spine": "spine", "spine": "shoulder_center"},
    "openpose18": {"neck": "shoulder_center"},
    "body25": {"neck": "shoulder_center", "middle_of_hips": "hip_center", **_TOES},
    "h36m17": {"middle_of_hips": "hip_center", "thorax": "shoulder_center"},
    "mediapipe33": _INDEX,
    "smpl22": {"pelvis": "hip_center", "spine2": "spine"},
}


def canonical(skeleton: Skeleton) -> tuple[str, ...]:
    """The name of each joint that all bodies share; different joints of a body have different names."""
    aliases = _ALIASES.get(skeleton.name, {})
    return tuple(aliases.get(joint, joint) for joint in skeleton.joints)


def correspondence(source: Skeleton, target: Skeleton) -> tuple[int | None, ...]:
    """For each joint of ``target``, the corresponding joint of ``source``, or None.

    Joints correspond if they are at the same place of the body, within a few centimetres: sensors and detectors
    define each joint a little differently. Users' own bodies correspond by the names of their joints.
    """
    numbers = {name: joint for joint, name in enumerate(canonical(source))}
    return tuple(numbers.get(name) for name in canonical(target))


def mapped(x: np.ndarray, exists: np.ndarray, source: Skeleton, target: Skeleton) -> tuple[np.ndarray, np.ndarray]:
    """Clips of ``source`` as clips of ``target``, and which of their joints exist.

    - ``x``: (..., C, T, V, M) in any unit, C the channels of ``source``;
    - ``exists``: (..., 1, T, V, M) bool.

    Returns the same for the joints of ``target``, with the channels of ``target``; a joint that has no corresponding
    joint is 0 and does not exist. If only ``target`` has a score, it is 1 where the joint exists.

    Raises ``SettingError`` if one body is in space and the other in an image, or if a shape does not fit.
    """
    _check(x, exists, source, target)
    joints = correspondence(source, target)
    there = np.array([joint is not None for joint in joints])
    found = exists[..., [joint or 0 for joint in joints], :] & there[:, None]  # (..., 1, T, V', M)
    picked = x[..., [joint or 0 for joint in joints], :]  # (..., C, T, V', M)
    shape = (*picked.shape[:-4], target.channels, *picked.shape[-3:])
    y = np.ones(shape, dtype=x.dtype)
    y[..., list(target.coords), :, :, :] = picked[..., list(source.coords), :, :, :]
    if target.scores and source.scores:
        y[..., list(target.scores), :, :, :] = picked[..., list(source.scores), :, :, :]
    return np.where(found, y, np.zeros((), dtype=x.dtype)), found


def _check(x: np.ndarray, exists: np.ndarray, source: Skeleton, target: Skeleton) -> None:
    if len(source.coords) != len(target.coords):
        raise SettingError(
            f"{source.name} has {len(source.coords)} coordinates and {target.name} has {len(target.coords)}: "
            "choose two bodies in space, or two in an image"
        )
    shape = (source.channels, source.num_joints)
    if x.ndim < 4 or (x.shape[-4], x.shape[-2]) != shape or exists.shape != (*x.shape[:-4], 1, *x.shape[-3:]):
        raise SettingError(
            f"clips {x.shape} with existing joints {exists.shape} do not fit {source.name}: "
            f"use (..., {shape[0]}, T, {shape[1]}, M) and (..., 1, T, {shape[1]}, M)"
        )

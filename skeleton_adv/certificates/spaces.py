"""The choice of a space of smoothing noise, by the settings of a certificate or of a training."""

from collections.abc import Mapping
from typing import Any, Protocol

from skeleton_adv.certificates.body import Bones, Scale, Yaw, YawAnd
from skeleton_adv.certificates.correlated import Correlated
from skeleton_adv.certificates.space import Joints, Offset, Slow, Space
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.turning import Up

# The settings that each space has besides sigma; the others cannot change its numbers.
SPACES: Mapping[str, tuple[str, ...]] = {
    "joints": (),
    "bones": (),
    "scale": (),
    "yaw": ("up",),
    "offset": (),
    "dct": ("components",),
    "correlated": ("length", "nugget", "joint_scales"),
    "bones_yaw": ("yaw", "up"),
    "joints_yaw": ("yaw", "up"),
    "correlated_yaw": ("yaw", "up", "length", "nugget", "joint_scales"),
}
SETTINGS = tuple(dict.fromkeys(name for own in SPACES.values() for name in own))
# Names of noise of which a certificate would not be exact, and why.
INEXACT: Mapping[str, str] = {
    **dict.fromkeys(
        ("time", "time_warp", "speed"),
        "clips are resampled to T frames, and time warps after that do not add up: use space=dct or correlated",
    ),
    **dict.fromkeys(
        ("rotations", "angles", "joint_angles"),
        "rotations of several joints do not add up: use space=yaw, one rotation of the whole clip",
    ),
    **dict.fromkeys(
        ("joints_bones", "bones_joints", "correlated_bones", "bones_correlated", "joints_scale", "scale_joints"),
        "bone scaling changes the length of a displacement: use space=bones or space=joints alone",
    ),
}


class How(Protocol):
    """The settings of smoothing noise, as ``Smoothing`` and ``GaussianNoise`` have them."""

    @property
    def sigma(self) -> float: ...
    @property
    def space(self) -> str: ...
    @property
    def yaw(self) -> float: ...
    @property
    def up(self) -> Up: ...
    @property
    def components(self) -> int: ...
    @property
    def length(self) -> float: ...
    @property
    def nugget(self) -> float: ...
    @property
    def joint_scales(self) -> Mapping[str, float]: ...


def space_of(how: How) -> Space:
    """The space of the noise; its parameters have the unit of ``sigma``, which is above 0."""
    turn = how.yaw / how.sigma
    correlated = Correlated(how.length, how.nugget, how.joint_scales, how.up)
    found: dict[str, Space] = {
        "joints": Joints(),
        "bones": Bones(),
        "scale": Scale(),
        "yaw": Yaw(how.up),
        "offset": Offset(),
        "dct": Slow(how.components),
        "correlated": correlated,
        "bones_yaw": YawAnd(Bones(), turn, how.up),
        "joints_yaw": YawAnd(Joints(), turn, how.up, about_root=False),
        "correlated_yaw": YawAnd(correlated, turn, how.up, about_root=False),
    }
    return found[how.space]


def check_space(key: str, name: str) -> None:
    """Raise ``SettingError`` unless there is an exact certificate with noise of this name."""
    if name in INEXACT:
        raise SettingError(f"{key}={name} has no exact certificate: {INEXACT[name]}")
    if name not in SPACES:
        raise SettingError(f"{key}={name} is not a choice: {nearest(str(name), [*SPACES])}")


def used(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without those that the space does not have, and without the space of earlier versions, joints."""
    space = settings.get("space", "joints")
    unused = {name for name in SETTINGS if name not in SPACES[space]} | ({"space"} if space == "joints" else set())
    unused |= set() if settings.get("joint_scales") else {"joint_scales"}
    return {name: value for name, value in settings.items() if name not in unused}

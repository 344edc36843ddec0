"""The skeletons that datasets record: joints, the tree of bones, and the angles between bones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import pairwise
from math import isfinite
from typing import Any

from skeleton_adv.core.errors import SettingError


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints; bones, angles and drawings all derive from it.

    ``parents[v]`` is the parent of joint ``v`` (the root is its own parent). ``angles`` are triples
    ``(end, middle, end)``; left empty, they are ``derived_angles(parents)``. ``coords`` are the channels that
    contain coordinates; any other channel (a detector's score) is never perturbed. ``center`` is the joint that
    victims centre on. ``length_floor`` and ``speed_floor``, in the unit of the coordinates, prevent division by 0
    in relative changes of bone lengths and speeds. Raises ``ValueError`` in one line unless the joints form one
    tree of at least three.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    angles: tuple[tuple[int, int, int], ...]
    center: int
    channels: int = 3
    coords: tuple[int, ...] = (0, 1, 2)
    length_floor: float = 1e-5  # metres, added to the bone length in the denominator (released code)
    speed_floor: float = 1e-4  # metres per frame, added to the speed in the denominator

    def __post_init__(self) -> None:
        problem = _tree_problem(self.joints, self.parents) or self._problem()
        if problem:
            raise SettingError(f"{self.name}: {problem}")
        if not self.angles:
            object.__setattr__(self, "angles", derived_angles(self.parents))

    def _problem(self) -> str:
        """What is wrong besides the tree of joints; empty if nothing is."""
        named = {self.center, *(joint for triple in self.angles for joint in triple)}
        if not named <= set(range(self.num_joints)):
            return f"a joint index is outside 0..{self.num_joints - 1}"
        for triple in self.angles:
            if len(triple) != 3 or len(set(triple)) != 3:
                return f"the angle {list(triple)} does not name three different joints"
        if len(self.coords) not in (2, 3) or len(set(self.coords)) != len(self.coords):
            return f"coords={list(self.coords)} must be two or three different channels"
        if not set(self.coords) <= set(range(self.channels)):
            return f"coords={list(self.coords)} contains a channel outside 0..{self.channels - 1}"
        if not (0 < self.length_floor < 1 and 0 < self.speed_floor < 1):
            return f"length_floor={self.length_floor} and speed_floor={self.speed_floor} must be between 0 and 1"
        return ""

    @property
    def num_joints(self) -> int:
        return len(self.joints)

    @cached_property
    def root(self) -> int:
        return next(joint for joint, parent in enumerate(self.parents) if joint == parent)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """Pairs ``(joint, parent)``, one for every joint except the root, in joint order."""
        return tuple((joint, parent) for joint, parent in enumerate(self.parents) if joint != parent)

    @property
    def scores(self) -> tuple[int, ...]:
        """The channels that hold no coordinate."""
        return tuple(channel for channel in range(self.channels) if channel not in self.coords)

    def without_score(self) -> "Skeleton":
        """The same body with coordinates only."""
        return replace(self, channels=len(self.coords), coords=tuple(range(len(self.coords))))

    def as_dict(self) -> dict[str, Any]:
        """All fields as plain JSON values."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Skeleton":
        """A skeleton of plain JSON values, as ``as_dict`` gives them.

        ``angles`` may be missing (derived), ``center`` too (the root), and every field with a default.
        Raises ``ValueError`` in one line for an unknown, missing or malformed field, and for a
        known skeleton's name on a body with other joints or bones.
        """
        known = [field.name for field in fields(cls)]
        for name in content:
            if name not in known:
                raise SettingError(f"a skeleton has no field {name!r}: its fields are {', '.join(known)}")
        for name in ("name", "joints", "parents"):
            if name not in content:
                raise SettingError(f"a skeleton requires {name}")
        values = {name: _of_json(name, value) for name, value in content.items()}
        problem = _tree_problem(values["joints"], values["parents"])
        if problem:
            raise SettingError(f"{values['name']}: {problem}")
        root = next(joint for joint, parent in enumerate(values["parents"]) if joint == parent)
        defaults: dict[str, Any] = {"angles": (), "center": root}
        found = cls(**defaults | values)
        like = SKELETONS.get(found.name)
        if like and (like.joints, like.parents) != (found.joints, found.parents):
            raise SettingError(f"{found.name} is the name of a known skeleton with other joints or bones: rename yours")
        return found


def derived_angles(parents: Sequence[int]) -> tuple[tuple[int, int, int], ...]:
    """A triple (parent, joint, child) for every two bones that meet at a joint other than the root.

    For a body whose joints all hang from its root, the triples (child, root, next child) instead.
    """
    root = next(joint for joint, parent in enumerate(parents) if joint == parent)
    pairs = [(joint, parent) for joint, parent in enumerate(parents) if joint != root]
    found = [(parents[joint], joint, child) for child, joint in pairs if joint != root]
    ends = [joint for joint, _ in pairs]
    across = [(first, root, second) for first, second in pairwise(ends)]
    return tuple(sorted(found or across, key=lambda triple: (triple[1], triple[2])))


def _tree_problem(joints: Sequence[str], parents: Sequence[int]) -> str:
    """Why joints and parents are not one tree; empty if they are."""
    if len(parents) != len(joints):
        return f"{len(parents)} parents for {len(joints)} joints"
    if len(joints) < 3:
        return f"{len(joints)} joints: a skeleton requires at least three"
    if len(set(joints)) < len(joints) or not all(joints):
        twice = next(name for name in joints if not name or joints.count(name) > 1)
        return f"two joints are named {twice!r}" if twice else "a joint has an empty name"
    if not set(parents) <= set(range(len(joints))):
        return f"a joint index is outside 0..{len(joints) - 1}"
    roots = [joint for joint, parent in enumerate(parents) if joint == parent]
    if len(roots) != 1:
        named = ", ".join(joints[root] for root in roots) or "none"
        return f"exactly one joint, the root, must be its own parent, but these are: {named}"
    for start in range(len(joints)):
        joint = start
        for _ in joints:  # as many steps as there are joints reach the root, or go round in a circle
            joint = parents[joint]
        if joint != roots[0]:
            return f"the parents of {joints[start]} lead in a circle"
    return ""


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _of_json(name: str, value: Any) -> Any:
    """A field's value from JSON; raises ``ValueError`` if it is of another kind."""

    def numbers(values: Any) -> tuple[int, ...] | None:
        fine = isinstance(values, list | tuple) and all(type(item) is int for item in values)
        return tuple(values) if fine else None

    found: Any = None
    if name == "name":
        found = value if isinstance(value, str) and value and value.isprintable() else None
    elif name == "joints":
        fine = isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
        found = tuple(value) if fine else None
    elif name in ("parents", "coords"):
        found = numbers(value)
    elif name == "angles":
        triples = [numbers(item) for item in value] if isinstance(value, list | tuple) else [None]
        found = None if None in triples else tuple(triples)
    elif name.endswith("_floor"):
        found = float(value) if type(value) in (int, float) and isfinite(value) else None
    elif type(value) is int:  # center, channels
        found = value
    if found is None:
        raise SettingError(f"a skeleton's {name} cannot be {str(value)[:60]!r}: it must be {_KINDS[name]}")
    return found


_KINDS = {
    "name": "text",
    "joints": "a list of names",
    "angles": "a list of triples of joint numbers",
    **dict.fromkeys(("parents", "coords"), "a list of whole numbers"),
    **dict.fromkeys(("center", "channels"), "a whole number"),
    **dict.fromkeys(("length_floor", "speed_floor"), "a number"),
}


def _from_one(*triples: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    """Triples that papers count from 1, as triples counted from 0."""
    return tuple((a - 1, b - 1, c - 1) for a, b, c in triples)


def _reordered(skeleton: Skeleton, name: str, joints: tuple[str, ...]) -> Skeleton:
    """The same body under another name, with its joints in another order."""
    new = [joints.index(joint) for joint in skeleton.joints]  # number of each joint in the new order
    old = [skeleton.joints.index(joint) for joint in joints]
    return replace(
        skeleton,
        name=name,
        joints=joints,
        parents=tuple(new[skeleton.parents[joint]] for joint in old),
        angles=tuple((new[a], new[b], new[c]) for a, b, c in skeleton.angles),
        center=new[skeleton.center],
    )


# Bones: Zheng et al., Sec. 4.1, which lists the parents of joints 2 to 25. Angles: the 22 triples of
# the authors' released code (waist, chest, neck, base, then shoulder to wrist, hip to ankle).
NTU25 = Skeleton(
    name="ntu25",
    joints=(
        *("base_of_spine", "middle_of_spine", "neck", "head"),
        *("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
        *("left_hip", "left_knee", "left_ankle", "left_foot"),
        *("right_hip", "right_knee", "right_ankle", "right_foot"),
        *("spine", "left_hand_tip", "left_thumb", "right_hand_tip", "right_thumb"),
    ),
    parents=(0, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11),
    angles=_from_one(
        *((1, 2, 21), (2, 21, 3), (5, 21, 9), (21, 3, 4), (2, 1, 13), (2, 1, 17)),
        *((21, 9, 10), (21, 5, 6), (9, 10, 11), (5, 6, 7), (10, 11, 12), (6, 7, 8)),
        *((11, 12, 24), (11, 12, 25), (7, 8, 22), (7, 8, 23)),
        *((1, 13, 14), (1, 17, 18), (13, 14, 15), (17, 18, 19), (14, 15, 16), (18, 19, 20)),
    ),
    center=1,
)

# The 20 joints of the first Kinect, in the order of UTD-MHAD. The angles follow the same rule as above: spine,
# neck, and both shoulders across the shoulder centre; on each side the shoulder, elbow, wrist, hip root, hip,
# knee and ankle. The end joints of an angle are the neighbours along the body.
KINECT20 = Skeleton(
    name="kinect20",
    joints=(
        *("head", "shoulder_center", "spine", "hip_center"),
        *("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
        *("left_hip", "left_knee", "left_ankle", "left_foot"),
        *("right_hip", "right_knee", "right_ankle", "right_foot"),
    ),
    parents=(1, 2, 3, 3, 1, 4, 5, 6, 1, 8, 9, 10, 3, 12, 13, 14, 3, 16, 17, 18),
    angles=(
        *((1, 2, 3), (0, 1, 2), (4, 1, 8)),
        *((1, 4, 5), (4, 5, 6), (5, 6, 7), (2, 3, 12), (3, 12, 13), (12, 13, 14), (13, 14, 15)),
        *((1, 8, 9), (8, 9, 10), (9, 10, 11), (2, 3, 16), (3, 16, 17), (16, 17, 18), (17, 18, 19)),
    ),
    center=2,
)

# The same body in the order of the first Kinect's software (SDK), from the hips: that of MSR Action3D and NW-UCLA.
KINECT20_SDK = _reordered(
    KINECT20,
    "kinect20_sdk",
    (
        *("hip_center", "spine", "shoulder_center", "head"),
        *("left_shoulder", "left_elbow", "left_wrist", "left_hand"),
        *("right_shoulder", "right_elbow", "right_wrist", "right_hand"),
        *("left_hip", "left_knee", "left_ankle", "left_foot"),
        *("right_hip", "right_knee", "right_ankle", "right_foot"),
    ),
)

# The 18 joints of OpenPose's COCO model in Kinetics-skeleton: image x, y and the detector's score.
# Bones, the 11 angles and the floors are those of Zheng et al.'s released code for Kinetics, which
# omits the left elbow (5, 6, 7) and has two angles at the nose between joints that no bone connects.
OPENPOSE18 = Skeleton(
    name="openpose18",
    joints=(
        *("nose", "neck"),
        *("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
    ),
    parents=(1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 1, 11, 12, 0, 0, 14, 15),
    angles=(
        *((1, 2, 3), (2, 3, 4), (1, 5, 6)),
        *((1, 8, 9), (8, 9, 10), (1, 11, 12), (11, 12, 13)),
        *((16, 0, 17), (14, 0, 15), (14, 0, 16), (15, 0, 17)),
    ),
    center=1,
    coords=(0, 1),
    length_floor=1e-3,
    speed_floor=1e-3,
)

# The 17 keypoints of COCO in the order of its annotations: image x, y and the detector's score. Bones as in
# the graph of pyskl (Duan et al., arXiv 2205.09443); the face is the root, because COCO has no neck.
COCO17 = Skeleton(
    name="coco17",
    joints=(
        *("nose", "left_eye", "right_eye", "left_ear", "right_ear"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
    ),
    parents=(0, 0, 0, 1, 2, 0, 0, 5, 6, 7, 8, 5, 6, 11, 12, 13, 14),
    angles=(),
    center=0,
    coords=(0, 1),
    length_floor=1e-3,
    speed_floor=1e-3,
)

# OpenPose's BODY_25, its pairs as a tree from the neck: image x, y and the detector's score.
BODY25 = Skeleton(
    name="body25",
    joints=(
        *("nose", "neck"),
        *("right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist"),
        *("middle_of_hips", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("right_eye", "left_eye", "right_ear", "left_ear"),
        *("left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel"),
    ),
    parents=(1, 1, 1, 2, 3, 1, 5, 6, 1, 8, 9, 10, 8, 12, 13, 0, 0, 15, 16, 14, 19, 14, 11, 22, 11),
    angles=(),
    center=1,
    coords=(0, 1),
    length_floor=1e-3,
    speed_floor=1e-3,
)

# Human3.6M's 17 joints in the order that pose estimators use (Pavllo et al., arXiv 1811.11742), metres.
H36M17 = Skeleton(
    name="h36m17",
    joints=(
        *("middle_of_hips", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle"),
        *("spine", "thorax", "neck", "head"),
        *("left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist"),
    ),
    parents=(0, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15),
    angles=(),
    center=7,
)

# The 31 joints of HDM05's optical motion capture: the root, then the end of each of the 30 bones in the order of their
# numbers in the .asf files. The names say which joint of the body that end is: the end of lfemur is the left knee.
# The wrist turns at the end of the bone called lwrist, whose start is in the middle of the forearm.
HDM31 = Skeleton(
    name="hdm31",
    joints=(
        *("hip_center", "left_hip", "left_knee", "left_ankle", "left_foot", "left_toes"),
        *("right_hip", "right_knee", "right_ankle", "right_foot", "right_toes"),
        *("lower_back", "spine", "shoulder_center", "neck", "upper_neck", "head"),
        *("left_shoulder", "left_elbow", "left_forearm", "left_wrist", "left_hand", "left_hand_tip", "left_thumb"),
        *("right_shoulder", "right_elbow", "right_forearm", "right_wrist"),
        *("right_hand", "right_hand_tip", "right_thumb"),
    ),
    parents=(
        *(0, 0, 1, 2, 3, 4, 0, 6, 7, 8, 9, 0, 11, 12, 13, 14, 15),
        *(13, 17, 18, 19, 20, 21, 20, 13, 24, 25, 26, 27, 28, 27),
    ),
    angles=(),
    center=12,
)

# The 33 landmarks of MediaPipe's pose model (Bazarevsky et al., arXiv 2006.10204) as its world landmarks: metres, from
# the middle of the hips. Its connections as a tree; the face is the root, because MediaPipe has no neck.
MEDIAPIPE33 = Skeleton(
    name="mediapipe33",
    joints=(
        *("nose", "left_eye_inner", "left_eye", "left_eye_outer", "right_eye_inner", "right_eye", "right_eye_outer"),
        *("left_ear", "right_ear", "left_mouth", "right_mouth"),
        *("left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
        *("left_pinky", "right_pinky", "left_index", "right_index", "left_thumb", "right_thumb"),
        *("left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle"),
        *("left_heel", "right_heel", "left_foot_index", "right_foot_index"),
    ),
    parents=(
        *(0, 0, 1, 2, 0, 4, 5, 3, 6, 0, 0),
        *(0, 0, 11, 12, 13, 14, 15, 16, 15, 16, 15, 16),
        *(11, 12, 23, 24, 25, 26, 27, 28, 27, 28),
    ),
    angles=(),
    center=0,
)

# The first 22 joints of SMPL (Loper et al., SIGGRAPH Asia 2015), which has two more for the hands; metres.
SMPL22 = Skeleton(
    name="smpl22",
    joints=(
        *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
        *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar", "right_collar"),
        *("head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    ),
    parents=(0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
    angles=(),
    center=6,
)

_ALL = (NTU25, KINECT20, OPENPOSE18, COCO17, BODY25, H36M17, HDM31, KINECT20_SDK, MEDIAPIPE33, SMPL22)
SKELETONS = {skeleton.name: skeleton for skeleton in _ALL}

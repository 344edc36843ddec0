"""The skeletons that datasets record: joints, the tree of bones, and the angles between bones."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class Skeleton:
    """A tree of joints; bones, angles and drawings all derive from it.

    ``parents[v]`` is the parent of joint ``v`` (the root is its own parent). ``angles`` are
    triples ``(end, middle, end)``. ``coords`` are the channels that contain coordinates; any other
    channel (a detector's score) is never perturbed. ``center`` is the joint that victims centre on.
    ``length_floor`` and ``speed_floor``, in the unit of the coordinates, prevent division by 0 in relative
    changes of bone lengths and speeds.
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
        if len(self.parents) != len(self.joints):
            raise ValueError(f"{self.name}: {len(self.parents)} parents for {len(self.joints)} joints")
        joints = {*self.parents, self.center, *(joint for triple in self.angles for joint in triple)}
        if not joints <= set(range(self.num_joints)):
            raise ValueError(f"{self.name}: a joint index is outside 0..{self.num_joints - 1}")

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


def _from_one(*triples: tuple[int, int, int]) -> tuple[tuple[int, int, int], ...]:
    """Triples that papers count from 1, as triples counted from 0."""
    return tuple((a - 1, b - 1, c - 1) for a, b, c in triples)


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

SKELETONS = {skeleton.name: skeleton for skeleton in (NTU25, KINECT20, OPENPOSE18)}

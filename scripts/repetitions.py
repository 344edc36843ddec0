"""How far two repetitions of an action by one subject of UTD-MHAD differ, beside the limits of constraint=loose.

    python scripts/repetitions.py --utd data/utd_mhad       # writes outputs/reference/utd_mhad/repetitions.md

Every pair of a subject's (usually four) trials of an action is aligned by dynamic time warping, on poses whose root
is at the origin and whose hips face forward. Frames that are aligned are compared as an attack's frame is compared with
the clean one. A limit on the body that is far below these differences forbids more than the body does.
"""

import argparse
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from skeleton_adv.core.files import write_whole
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.files import named_files
from skeleton_adv.data.utd_mhad import FILE_NAME, read_mat_file

OUT = Path("outputs/reference/utd_mhad/repetitions.md")
FPS = 30.0
CHILDREN, PARENTS = (np.array(joints) for joints in zip(*KINECT20.bones, strict=True))
ENDS, MIDDLES, OTHERS = np.array(KINECT20.angles).T
LEFT, RIGHT = (KINECT20.joints.index(name) for name in ("left_hip", "right_hip"))


class Measure(NamedTuple):
    """A row of the table: its name, its unit, what it is in numbers of that unit, and the limit of ``loose``."""

    name: str
    unit: str
    factor: float
    loose: float | None
    source: str


MEASURES = {
    "bone": Measure("bone length, of the subject's median", "%", 100, 0.03, "loose"),
    "angle": Measure("true angle", "rad", 1, 0.2, "loose_true"),
    "estimate": Measure("the paper's estimate of an angle's change, on centred poses", "rad", 1, 0.2, "loose"),
    "direction": Measure("direction of a bone, on centred poses", "rad", 1, 0.2, "loose_true"),
    "speed": Measure("speed of a joint", "m/s", 1, None, "loose"),
}


class Motion(NamedTuple):
    """One trial: what is compared, per frame."""

    pose: np.ndarray  # (F, 20, 3) metres, centred
    bones: np.ndarray  # (F, 19) metres
    angles: np.ndarray  # (F, 17) radians
    speed: np.ndarray  # (F, 20) metres per second, from each frame to the next; the last frame repeats its own

    @classmethod
    def of(cls, joints: np.ndarray) -> "Motion":
        """The motion of ``joints`` (F, 20, 3)."""
        speed = FPS * np.linalg.norm(np.diff(joints, axis=0), axis=-1)
        bones = np.linalg.norm(joints[:, CHILDREN] - joints[:, PARENTS], axis=-1)
        first, second = joints[:, ENDS] - joints[:, MIDDLES], joints[:, OTHERS] - joints[:, MIDDLES]
        return cls(centred(joints), bones, between(first, second), np.concatenate((speed, speed[-1:])))


def between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The angles (...) between vectors (..., 3), in radians."""
    return np.arctan2(np.linalg.norm(np.cross(first, second), axis=-1), (first * second).sum(axis=-1))


def centred(joints: np.ndarray) -> np.ndarray:
    """Poses (F, 20, 3) with the root at the origin, turned about the vertical axis so that the hips face forward."""
    moved = joints - joints[:, KINECT20.root, None]
    across = (moved[:, LEFT] - moved[:, RIGHT])[:, [0, 2]]
    cos, sin = (across / np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-9)).T[..., None]
    x, z = moved[..., 0], moved[..., 2]
    return np.stack((cos * x + sin * z, moved[..., 1], cos * z - sin * x), axis=-1)


def aligned(costs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames of two clips that dynamic time warping pairs, for the costs (F, G) of all pairs.

    Each step of the path goes on by a frame in one clip or in both, and its sum of costs is the smallest.
    """
    total = np.full((costs.shape[0] + 1, costs.shape[1] + 1), np.inf)
    total[0, 0] = 0
    for row, own in enumerate(costs, start=1):
        before = np.minimum(total[row - 1, 1:], total[row - 1, :-1])
        along = np.cumsum(own)  # a step along the row adds its costs, so the best start is a running minimum
        total[row, 1:] = along + np.minimum.accumulate(before - along + own)
    i, j = costs.shape
    path = [(i - 1, j - 1)]
    while (i, j) != (1, 1):
        i, j = min(((i - 1, j - 1), (i - 1, j), (i, j - 1)), key=lambda place: total[place])
        path.append((i - 1, j - 1))
    first, second = np.array(path[::-1]).T
    return first, second


def differences(one: Motion, other: Motion, median: np.ndarray) -> dict[str, np.ndarray]:
    """What differs between two trials on aligned frames, as (K, entries); ``median`` (19,) are the subject's bones.

    ``allowed`` is the change of speed that ``loose`` allows on these frames: a tenth of the speed.
    """
    costs = np.linalg.norm(one.pose[:, None] - other.pose[None], axis=-1).mean(axis=-1)
    i, j = aligned(costs)
    moved = np.linalg.norm(other.pose[j] - one.pose[i], axis=-1)
    first, second = (
        1 / np.linalg.norm(one.pose[i][:, ends] - one.pose[i][:, MIDDLES], axis=-1) for ends in (ENDS, OTHERS)
    )
    vectors = [motion.pose[k][:, CHILDREN] - motion.pose[k][:, PARENTS] for motion, k in ((one, i), (other, j))]
    return {
        "bone": np.abs(other.bones[j] - one.bones[i]) / median,
        "angle": np.abs(other.angles[j] - one.angles[i]),
        "estimate": moved[:, ENDS] * first + moved[:, OTHERS] * second + moved[:, MIDDLES] * (first + second),
        "direction": between(*vectors),
        "speed": np.abs(other.speed[j] - one.speed[i]),
        "allowed": 0.1 * one.speed[i],
    }


def pairs(root: str) -> Iterator[dict[str, np.ndarray]]:
    """The differences of every two trials of one action by one subject."""
    trials: dict[tuple[int, int], list[Motion]] = {}
    for path, (action, subject, _) in named_files(root, FILE_NAME, "a1_s1_t1_skeleton.mat"):
        trials.setdefault((subject, action), []).append(Motion.of(read_mat_file(path).transpose(2, 0, 1)))
    for (subject, _), own in sorted(trials.items()):
        every = [motion.bones for (who, _), motions in trials.items() if who == subject for motion in motions]
        median = np.median(np.concatenate(every), axis=0)
        yield from (differences(one, other, median) for one, other in combinations(own, 2))


def table(found: list[Mapping[str, np.ndarray]]) -> str:
    """The table, in Markdown."""
    rows = ["| measure | limit | median | 95th percentile | of the limit | 95th percentile of maxima | of the limit |"]
    rows.append("|---|---|---|---|---|---|---|")
    allowed = float(np.percentile(np.concatenate([one["allowed"].ravel() for one in found]), 95))
    for key, measure in MEASURES.items():
        entries = measure.factor * np.concatenate([one[key].ravel() for one in found])
        maxima = measure.factor * np.array([one[key].max() for one in found])
        limit = measure.factor * (measure.loose if measure.loose is not None else allowed)
        middle, most, largest = (
            float(np.percentile(part, q)) for part, q in ((entries, 50), (entries, 95), (maxima, 95))
        )
        cells = [f"{measure.name}, {measure.unit}", f"{limit:.3g} (`{measure.source}`)", f"{middle:.3g}"]
        cells += [f"{most:.3g}", f"{most / limit:.1f} ×", f"{largest:.3g}", f"{largest / limit:.1f} ×"]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def page(root: str) -> str:
    """The whole page."""
    found = list(pairs(root))
    return (
        "# How far two repetitions by one subject differ, on UTD-MHAD\n"
        f"{len(found)} pairs of trials of one action by one subject, aligned by dynamic time warping on poses whose "
        "root is at the origin and whose hips face forward, at 30 frames per second. Entries are the bones, angles "
        "or joints of all aligned frames; maxima are the largest entry of each pair. The limit on speeds depends on "
        "the speed: its 95th percentile is shown.\n\n"
        f"{table(found)}\n\nMade by:\n\n    python scripts/repetitions.py --utd data/utd_mhad\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utd", default="data/utd_mhad", help="folder with UTD-MHAD's .mat files")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    arguments = parser.parse_args()
    text = page(arguments.utd)
    write_whole(arguments.out, text)
    print(text)


if __name__ == "__main__":
    main()

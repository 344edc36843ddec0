"""A depth camera in a room: its position, its errors, and the bodies that it loses."""

from dataclasses import dataclass

import numpy as np

from skeleton_adv.core.skeleton import NTU25

# Error in metres at a distance of 3 m; extremities are the least accurate. The short bones of hands and feet therefore
# jitter by a quarter of their length, long bones by a few per cent, as in real clips.
_ERROR = {
    "elbow": 0.006,
    "wrist": 0.008,
    "hand": 0.010,
    "hand_tip": 0.014,
    "thumb": 0.014,
    "neck": 0.004,
    "hip": 0.004,
    "knee": 0.006,
    "ankle": 0.008,
    "foot": 0.010,
}
_SCALE = np.array([_ERROR.get(name.removeprefix("left_").removeprefix("right_"), 0.005) for name in NTU25.joints])
_MEMORY = 0.85  # correlation of the errors of successive frames
_DEPTH = np.array([1.0, 1.0, 1.3])  # depth is less accurate than position
_CHEST = [NTU25.joints.index(name) for name in ("base_of_spine", "middle_of_spine", "spine")]
_CHEST_SIZE = np.array([0.22, 0.4])  # width and height in metres over which a chest gradually hides less


@dataclass(frozen=True)
class Camera:
    """A camera in the room; the rows of ``axes`` (3, 3) are its x, y and z axes, with x to its left and z ahead."""

    place: np.ndarray  # (3,) metres
    axes: np.ndarray  # (3, 3)

    def view(self, world: np.ndarray) -> np.ndarray:
        """Points (..., 3) in the room, in the coordinates of the camera, in metres."""
        seen: np.ndarray = np.einsum("...j,ij->...i", world - self.place, self.axes)
        return seen


def draw_camera(degrees: float, rng: np.random.Generator) -> Camera:
    """A camera about ``degrees`` to the left of people who face ahead, at a distance of about 3 m."""
    angle = np.radians(degrees + rng.uniform(-4, 4))
    distance, height, target = rng.uniform(3.05, 3.4), rng.uniform(0.9, 1.7), rng.uniform(0.8, 1.0)
    place = np.array([distance * np.sin(angle), height, distance * np.cos(angle)])
    ahead = np.array([0.0, target, 0.0]) - place
    ahead /= np.sqrt((ahead**2).sum())
    left = np.cross([0.0, 1.0, 0.0], ahead)
    left /= np.sqrt((left**2).sum())
    return Camera(place, np.stack([left, np.cross(ahead, left), ahead]))


def sense(seen: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Joints (F, P, V, 3) in camera coordinates as a depth camera reports them, with errors.

    The errors last for several frames. They grow with distance, and are larger where a chest hides the joint.
    """
    noise: np.ndarray = rng.normal(size=seen.shape)
    noise[1:] *= np.sqrt(1 - _MEMORY**2)
    for frame in range(1, len(noise)):
        noise[frame] += _MEMORY * noise[frame - 1]
    size = _SCALE * (seen[..., 2] / 3) ** 1.5 * (1 + 1.8 * hidden(seen))  # (F, P, V)
    noise *= size[..., None] * _DEPTH
    noise += seen
    return noise


def hidden(seen: np.ndarray) -> np.ndarray:
    """The degree (F, P, V) to which a chest hides each joint, from 0 (visible) to 1 (hidden)."""
    chest = seen[:, :, _CHEST].mean(2)[:, None, :, None]  # (F, 1, P, 1, 3)
    away = seen[:, :, None] - chest  # (F, P, P, V, 3): from every chest to every joint
    behind = ((away[..., 2] - 0.05) / 0.1).clip(0, 1)
    covered = np.exp(-((away[..., :2] / _CHEST_SIZE) ** 2).sum(-1))
    share: np.ndarray = (behind * covered).max(2)
    return share


def tracked(num_frames: int, num_persons: int, rng: np.random.Generator) -> np.ndarray:
    """Whether the camera tracks each body, (F, P) bool; one clip in twenty loses a body for 1 to 6 frames."""
    found = np.ones((num_frames, num_persons), dtype=bool)
    lost, person, length = rng.random() < 0.05, rng.integers(num_persons), rng.integers(1, 7)
    first = rng.integers(num_frames - length)
    if lost:
        found[first : first + length, person] = False
    return found

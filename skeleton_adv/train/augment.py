"""Augmentation of training clips: random crops, rotations and moves, and the changes of a training."""

import math
import random
from collections.abc import Sequence

import numpy as np
import torch

from skeleton_adv.core.batch import WHOLE, SkeletonBatch
from skeleton_adv.data.clips import Dataset, Prepared, random_crop, resample
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.training import Training


def training_batch(
    dataset: Dataset,
    prepared: Prepared,
    numbers: Sequence[int],
    recipe: Recipe,
    rng: random.Random,
    training: Training,
    strength: float,
) -> SkeletonBatch:
    """The clips with these numbers, each randomly cropped, rotated and moved, then changed by ``training``.

    Each is there ``training.versions`` times, with the same crop, rotation and move.
    ``strength``: the fraction of its full strength that ``training`` has at this epoch, in [0, 1].
    """
    x, mask, dt = [], [], []
    for number in numbers:
        raw = prepared.raw(number)
        start, length = random_crop(len(raw.frames), recipe.crop, dataset.num_frames, rng)
        frames, exists = resample(raw, start, length, dataset.num_frames)
        angles = [math.radians(rng.uniform(-angle, angle)) for angle in recipe.rotation]
        frames = rotate(frames, angles) if any(angles) else frames  # joints in an image may have only two channels
        if recipe.random_move:
            frames = random_move(frames, exists, rng)
        for _ in range(training.versions):
            x.append(training.clip(frames.copy(), exists, dataset.skeleton, rng, strength))
        mask += training.versions * [exists[None]]
        dt += training.versions * [(1 if dataset.num_frames >= WHOLE else length / dataset.num_frames) / dataset.fps]
    numbers = [number for number in numbers for _ in range(training.versions)]
    return SkeletonBatch(
        x=torch.from_numpy(np.stack(x)),
        y=torch.tensor([prepared.clips[i].label for i in numbers]),
        mask=torch.from_numpy(np.stack(mask)),
        index=torch.tensor(numbers),
        dt=torch.tensor(dt, dtype=torch.float32),
        skeleton=dataset.skeleton,
    )


def rotate(frames: np.ndarray, angles: Sequence[float]) -> np.ndarray:
    """Coordinates (3, T, V, M) rotated about the camera's x, then y, then z axis by these angles in radians."""
    matrix = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = math.cos(angle)
        turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
        matrix = turn @ matrix
    turned: np.ndarray = np.einsum("dc,ctvm->dtvm", matrix.astype(frames.dtype), frames)
    return turned


def random_move(frames: np.ndarray, exists: np.ndarray, rng: random.Random) -> np.ndarray:
    """Joints (C, T, V, M) whose x and y rotate, scale and shift linearly from the first frame to the last.

    ``random_move`` of Spatial Temporal Graph Convolutional Networks (Yan et al., arXiv 1801.07455), as 2s-AGCN uses
    it on Kinetics: the first and the last frame each have a random angle in degrees, scale and shift from these
    choices. Unlike theirs, joints that do not exist (``exists`` (T, V, M)) do not move.
    """
    choices = ((-10, -5, 0, 5, 10), (0.9, 1.0, 1.1), *[(-0.2, -0.1, 0.0, 0.1, 0.2)] * 2)
    first, last = ([rng.choice(values) for values in choices] for _ in range(2))
    angle, scale, *shift = np.linspace(first, last, frames.shape[1]).T[..., None, None]  # (T, 1, 1) each
    cosine, sine = scale * np.cos(np.radians(angle)), scale * np.sin(np.radians(angle))
    x, y = frames[:2]
    changed = np.stack([cosine * x - sine * y + shift[0], sine * x + cosine * y + shift[1]])
    return np.concatenate([np.where(exists, changed, frames[:2]), frames[2:]]).astype(frames.dtype)

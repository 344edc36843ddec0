"""Conversion of raw clips to batches in the attack space."""

import hashlib
import random
from collections.abc import Sequence

import numpy as np
import torch

from skeleton_adv.core.batch import WHOLE, SkeletonBatch
from skeleton_adv.data.dataset import Clip, Dataset, Prepared, RawClip, Split

__all__ = [
    "Clip",
    "Dataset",
    "Prepared",
    "RawClip",
    "Split",
    "centre_crop",
    "hashed_order",
    "load_batch",
    "random_crop",
    "resample",
]


def hashed_order(clips: Sequence[Clip], split: Split) -> list[int]:
    """The numbers of the clips in a split, in the fixed order in which clips are attacked.

    The order is that of a hash of their names, so that the first n are a fair sample of the classes.
    """
    numbers = [i for i, clip in enumerate(clips) if clip.split == split]
    return sorted(numbers, key=lambda i: hashlib.sha256(clips[i].name.encode()).digest())


def resample(raw: RawClip, start: int, length: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames ``[start, start + length)`` resampled linearly to ``num_frames``.

    Returns frames (C, T, V, M) and their existence (T, V, M). The positions are those of a bilinear resize
    with ``align_corners=False``, as in HCN's public feeder. A joint exists in a resampled frame only if it exists
    in all source frames. If ``num_frames`` is ``WHOLE`` or more, the original frames are kept unchanged.
    """
    if num_frames >= WHOLE:
        return _as_recorded(raw, start, min(length, num_frames), num_frames)
    position = (np.arange(num_frames) + 0.5) * (length / num_frames) - 0.5
    position = np.clip(position, 0, length - 1)
    low = np.floor(position).astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    weight = (position - low).astype(np.float32)
    frames = raw.frames[start : start + length]
    exists = raw.exists[start : start + length]
    share = weight[:, None, None, None]
    mixed = frames[low] * (1 - share) + frames[high] * share
    present = exists[low] & (exists[high] | (weight == 0)[:, None, None])
    return mixed.transpose(1, 0, 2, 3), present


def _as_recorded(raw: RawClip, start: int, length: int, num_frames: int) -> tuple[np.ndarray, np.ndarray]:
    frames = np.zeros((num_frames, *raw.frames.shape[1:]), dtype=raw.frames.dtype)
    exists = np.zeros((num_frames, *raw.exists.shape[1:]), dtype=bool)
    part = slice(start, start + length)
    frames[:length], exists[:length] = raw.frames[part], raw.exists[part]
    return frames.transpose(1, 0, 2, 3), exists


def centre_crop(length: int, ratio: float) -> tuple[int, int]:
    """Start and length of the central part of a clip, the fraction ``ratio``, as in HCN's public feeder."""
    bias = int((1 - ratio) * length / 2)
    return bias, length - 2 * bias


def random_crop(length: int, low: float, num_frames: int, rng: random.Random) -> tuple[int, int]:
    """Start and length of a random window, whose fraction of the clip is between ``low`` and 1.

    The window has at least ``num_frames`` frames if the clip is resampled and long enough.
    """
    least = num_frames if num_frames < WHOLE else 2
    window = min(max(int(length * rng.uniform(low, 1.0)), least), length)
    return rng.randint(0, length - window), window


def load_batch(dataset: Dataset, prepared: Prepared, numbers: Sequence[int]) -> SkeletonBatch:
    """The batch of the clips with these numbers at test time: cropped to the centre and resampled to T frames."""
    x, mask, dt = [], [], []
    for number in numbers:
        raw = prepared.raw(number)
        start, length = centre_crop(len(raw.frames), dataset.test_crop)
        frames, exists = resample(raw, start, length, dataset.num_frames)
        x.append(frames)
        mask.append(exists[None])
        dt.append((1 if dataset.num_frames >= WHOLE else length / dataset.num_frames) / dataset.fps)
    return SkeletonBatch(
        x=torch.from_numpy(np.ascontiguousarray(np.stack(x))),
        y=torch.tensor([prepared.clips[i].label for i in numbers]),
        mask=torch.from_numpy(np.stack(mask)),
        index=torch.tensor(list(numbers)),
        dt=torch.tensor(dt, dtype=torch.float32),
        skeleton=dataset.skeleton,
    )

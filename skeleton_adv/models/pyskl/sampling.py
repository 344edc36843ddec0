"""The frames that pyskl samples from a clip."""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

SEED = 255  # of pyskl's test pipelines, for each clip


@lru_cache(maxsize=4096)
def frame_numbers(frames: int, length: int, clips: int, decode: bool = False, seed: int | None = None) -> np.ndarray:
    """(clips, length): pyskl's ``UniformSample`` of a clip with this number of frames (arXiv 2205.09443).

    At test time (``seed`` None), NumPy's legacy generator is seeded with 255 for each clip, and the samplings of a
    short clip start at equal distances; in training they start at random. ``decode``: as ``UniformSampleDecode`` of
    DG-STGCN, in which the start is always random.
    """
    rng = np.random.RandomState(SEED if seed is None else seed)
    found = []
    for clip in range(clips):
        rng.rand()  # pyskl draws the share of the clip that it samples from, which is always all of it
        if frames < length:
            if decode or seed is not None:
                start = rng.randint(0, frames)
            else:
                start = clip if frames < clips else clip * frames // clips
            numbers = np.arange(start, start + length)
        elif frames < 2 * length:
            skipped = np.zeros(length + 1, dtype=np.int64)
            skipped[rng.choice(length + 1, frames - length, replace=False)] = 1
            numbers = np.arange(length) + np.cumsum(skipped)[:-1]
        else:
            bounds = np.arange(length + 1) * frames // length
            numbers = bounds[:-1] + rng.randint(np.diff(bounds))
        found.append(numbers % frames)
    return np.stack(found)


def sampled(x: Tensor, numbers: Tensor) -> Tensor:
    """(N, clips, C, length, V, M): the frames ``numbers`` (N, clips, length) of each clip of x (N, C, T, V, M)."""
    n, c, t, v, m = x.shape
    clips, length = numbers.shape[1:]
    # A product with a matrix, because frames that are gathered twice have no deterministic gradient on a GPU.
    matrix = F.one_hot(numbers.flatten(1), t).to(x.dtype)  # (N, clips length, T)
    y = matrix @ x.transpose(1, 2).reshape(n, t, c * v * m)
    return y.view(n, clips, length, c, v, m).transpose(2, 3)


def numbers_of(counts: Tensor, length: int, clips: int, decode: bool, training: bool) -> Tensor:
    """(N, clips, length): the frames to sample from clips with these ``counts`` (N,) of frames."""
    found = []
    for count in counts.tolist():
        seed = int(torch.randint(2**31, ())) if training else None
        draw = frame_numbers.__wrapped__ if training else frame_numbers  # random choices are not cached
        found.append(draw(count, length, clips, decode, seed))
    return torch.from_numpy(np.stack(found)).to(counts.device)

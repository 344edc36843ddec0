"""Weights and clips that the golden files were computed with, rebuilt from names and shapes alone."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def golden_weight(name: str, shape: Sequence[int], gain: float) -> Tensor:
    """A state dict's entry, drawn from a stream seeded by its name."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return torch.tensor(1)
    if len(shape) >= 2 and last != "PA":
        values = rng.normal(0, 1, shape) * np.sqrt(gain / np.prod(shape[1:]))
    elif last in ("running_var", "weight"):
        values = rng.uniform(0.5, 1.5, shape) if last == "running_var" else rng.uniform(0.6, 1.4, shape)
    else:
        values = rng.normal(0, 0.05 if last == "PA" else 0.1, shape)
    return torch.from_numpy(values.astype(np.float32))


def golden_clips(n: int, c: int, t: int, v: int, m: int, seed: int) -> Tensor:
    """Smooth random clips (n, c, t, v, m); every second one has one person only."""
    rng = np.random.Generator(np.random.PCG64(seed))
    time = np.linspace(0, 1, t)[None, None, :, None, None]
    rest = rng.normal(0, 0.35, (n, c, 1, v, m))
    size = 0.15 * rng.normal(size=(n, c, 1, v, m))
    phase = 2 * np.pi * (1 + 2 * rng.random((n, 1, 1, v, m))) * time
    x = rest + size * np.sin(phase + 6 * rng.random((n, c, 1, v, m)))
    if m > 1:
        x[::2, ..., 1] = 0
    return torch.from_numpy(x.astype(np.float32))

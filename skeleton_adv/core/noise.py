"""Random numbers per clip, which do not depend on the batch, the device or the order of clips."""

import hashlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15 - 2**64  # SplitMix64's constants, as signed integers
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def normal(like: Tensor, index: Tensor, seed: int, purpose: str, draw: int | Sequence[int] = 0) -> Tensor:
    """Standard normal numbers with the shape, type and device of ``like`` (N, ...).

    The numbers of clip n depend only on ``index[n]`` (N,), ``seed``, ``purpose`` and ``draw`` (one number, or one per
    clip); different values of any of these give independent numbers. The generator is SplitMix64 (Steele, Lea and
    Flood, OOPSLA 2014) of a counter, followed by the transform of Box and Muller. Nothing is copied between devices if
    ``draw`` is one number.
    """
    size = math.prod(like.shape[1:])
    words = _words(like, index, (size + 1) // 2, seed, purpose, draw)
    radius = (-2 * _unit(words >> 32, like.dtype).log()).sqrt()
    angle = 2 * math.pi * _unit(words, like.dtype)
    pairs = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return pairs[:, :size].reshape(like.shape)


def uniform(like: Tensor, index: Tensor, seed: int, purpose: str, draw: int = 0) -> Tensor:
    """Uniform numbers between 0 and 1; arguments as in ``normal``."""
    words = _words(like, index, math.prod(like.shape[1:]), seed, purpose, draw)
    return _unit(words >> 32, like.dtype).reshape(like.shape)


def _unit(words: Tensor, dtype: torch.dtype) -> Tensor:
    """The lower 32 bits of each word as a number in (0, 1]."""
    return ((words & 0xFFFFFFFF).to(dtype) + 0.5) / 2**32


def _words(like: Tensor, index: Tensor, count: int, seed: int, purpose: str, draw: int | Sequence[int]) -> Tensor:
    """(N, count) words of 64 random bits."""
    first: int | Tensor
    second: int | Tensor
    if isinstance(draw, int):  # two numbers, which are not copied to the device
        first, second = _names(seed, purpose, draw)
    else:
        names = torch.tensor([_names(seed, purpose, one) for one in draw], device=like.device)
        first, second = names.unbind(dim=1)
    key = _mixed(_mixed(index.to(like.device) + first) ^ second)
    counter = torch.arange(1, count + 1, device=like.device)
    return _mixed(key[:, None] + counter * _GOLDEN)


def _names(seed: int, purpose: str, draw: int) -> tuple[int, int]:
    """Two signed integers of 64 bits for a stream of numbers."""
    name = hashlib.sha256(f"{seed} {purpose} {draw}".encode()).digest()
    return int.from_bytes(name[:8], signed=True), int.from_bytes(name[8:16], signed=True)


def _mixed(z: Tensor) -> Tensor:
    z = (z ^ _shifted(z, 30)) * _FIRST
    z = (z ^ _shifted(z, 27)) * _SECOND
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's own keeps the sign."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)

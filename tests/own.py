"""A network and clips of a user's own, small enough for tests."""

import numpy as np
import torch
from torch import Tensor, nn

import skeleton_adv as sa

T, V, K = 8, 20, 3


class Net(nn.Module):
    """A linear recogniser of clips (N, 3, T, V, 1), with known gradients."""

    def __init__(self, num_classes: int = K, num_frames: int = T, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(num_classes, 3, num_frames, V, 1, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nctvm,kctvm->nk", x, self.weight)


def body(frames: int = T, clips: int = 5, seed: int = 0) -> np.ndarray:
    """Clips (N, T, V, 3) in metres: joints that move at random, 0.2 m apart."""
    rng = np.random.default_rng(seed)
    start = rng.normal(0, 0.2, (clips, 1, V, 3)) + (0, 0, 2.5)
    return (start + rng.normal(0, 0.01, (clips, frames, V, 3))).astype(np.float32)


def victim(**changes: object) -> sa.Victim:
    settings = {"skeleton": "kinect20", "num_frames": T} | changes
    return sa.Victim(Net(), **settings)  # type: ignore[arg-type]


def clips(array: np.ndarray | None = None, **changes: object) -> sa.Clips:
    array = body() if array is None else array
    settings = {"skeleton": "kinect20", "unit": "m"} | changes
    return sa.clips(array, np.arange(len(array)) % K, **settings)  # type: ignore[arg-type]

"""Input filtering: a polynomial in time, fitted to neighbouring frames (Savitzky and Golay)."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import Range, Whole, checked


class SavitzkyGolay(nn.Module):
    """Each coordinate becomes the value of a polynomial of ``degree``, fitted to it over ``window`` frames.

    Smoothing and Differentiation of Data by Simplified Least Squares Procedures (Savitzky and Golay, Analytical
    Chemistry 36, 1964). The window is centred on the frame; at both ends of the clip, it is the first or the last
    ``window`` frames. A frame that does not exist is left out of the fit; where no more than ``degree`` frames exist,
    the polynomial passes through them. The filter is linear, so its gradient is exact. Raises ``SettingError`` if
    ``window`` is even or not larger than ``degree``.
    """

    OFF: ClassVar[Mapping[str, Any]] = {"window": 1, "degree": 0}  # with these settings, the defense changes nothing

    @checked
    def __init__(self, network: nn.Module, *, window: Annotated[int, Range("[1, 51]")] = 7, degree: Whole = 2) -> None:
        super().__init__()
        if window % 2 == 0:
            raise SettingError(f"defense.window={window} has no frame in its middle: choose {window + 1}")
        if degree >= window:
            raise SettingError(f"defense.degree={degree} fits any {window} frames exactly: choose at most {window - 1}")
        self.network, self.window, self.degree = network, window, degree
        self._known: tuple[Tensor, int, Tensor] | None = None  # the last mask, its version, and its weights

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        fitted = smoothed(x, context.mask, self._weights(context.mask))
        logits: Tensor = self.network(torch.where(context.movable, fitted, x), context)
        return logits

    def _weights(self, mask: Tensor) -> Tensor:
        """The weights for a mask, computed once in an attack's loop, because a GPU has to wait for them."""
        if self._known is None or self._known[0] is not mask or self._known[1] != mask._version:
            self._known = mask, mask._version, weights_for(mask, self.window, self.degree)
        return self._known[2]


def polynomial(x: Tensor, mask: Tensor, window: int, degree: int) -> Tensor:
    """x (N, C, T, V, M), smoothed: polynomials over ``window`` frames, where they exist in ``mask`` (N, 1, T, V, M)."""
    return smoothed(x, mask, weights_for(mask, window, degree))


def smoothed(x: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """x (N, C, T, V, M), each frame the sum of its window with ``weights`` (N, 1, T, V, M, W)."""
    window, total = weights.shape[-1], torch.zeros_like(x)
    parts = zip(_windows(x, window), _windows(mask, window), weights.to(x.dtype).unbind(dim=-1), strict=True)
    for frames, there, weight in parts:
        total = total + torch.where(there, frames, 0) * weight
    return total


def weights_for(mask: Tensor, window: int, degree: int) -> Tensor:
    """The weights (N, 1, T, V, M, W) of the frames of each window, of at most ``window`` frames, in float64."""
    return _weights(torch.stack(_windows(mask, min(window, mask.shape[2])), dim=-1), degree)


def _windows(x: Tensor, window: int) -> list[Tensor]:
    """The first, second, ... frame of each frame's window, (N, C, T, V, M) each; all windows are inside the clip."""
    starts, half = x.shape[2] - window + 1, window // 2
    after = x.shape[2] - starts - half
    found = []
    for offset in range(window):  # slices, because gathering frames has no deterministic gradient on a GPU
        frames = x[:, :, offset : offset + starts]
        found.append(torch.cat([*[frames[:, :, :1]] * half, frames, *[frames[:, :, -1:]] * after], dim=2))
    return found


def _weights(exists: Tensor, degree: int) -> Tensor:
    """The weight of each frame of a window (N, 1, T, V, M, W) in the value of the polynomial, in float64."""
    frames, window = exists.shape[2], exists.shape[-1]
    powers = 2 ** torch.arange(window, device=exists.device)
    time = torch.arange(frames, device=exists.device)
    starts = (time - window // 2).clamp(0, frames - window)
    codes = (exists * powers).sum(dim=-1) + ((time - starts) << window).view(1, 1, -1, 1, 1)
    patterns, which = codes.unique(return_inverse=True)  # type: ignore[no-untyped-call]
    rows = [_row(code & ((1 << window) - 1), code >> window, window, degree) for code in patterns.tolist()]
    return torch.tensor(rows, dtype=torch.float64, device=exists.device)[which]


@cache  # one by one, because rounding depends on the number of matrices that are solved together
def _row(there: int, own: int, window: int, degree: int) -> tuple[float, ...]:
    """The weights of a window whose frames exist where ``there`` has a bit, for the value at its frame ``own``."""
    offsets = np.arange(window)[:, None] - own
    exists = np.array([there >> frame & 1 for frame in range(window)])[:, None]
    # The value at the own frame, where the offset is 0, is the first coefficient.
    return tuple(np.linalg.pinv(exists * offsets.astype(float) ** np.arange(degree + 1))[0])

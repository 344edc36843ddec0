"""The skeleton-motion-informed gradient: it includes the effect that a frame has on the frames that follow it."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from skeleton_adv.attacks.tvar import Kernel, tvar
from skeleton_adv.core.batch import SkeletonBatch

Order = Literal[0, 1, 2]


def influence(batch: SkeletonBatch, order: Order, kernel: Kernel = "triweight") -> tuple[Tensor, ...]:
    """How much each coordinate changes its values 1, ..., ``order`` frames later, (N, C, T, V, M) each.

    Hard No-Box (Lu et al., arXiv 2308.05681), Eq. 9 and 10, from a time-varying autoregression of each coordinate of
    each joint of the clean clip, in the valid frames only. With ``S_t = A_t S_{t-1}`` the first order is ``A_{t+1}``;
    with ``S_t = C_t S_{t-1} + D_t S_{t-2}`` they are ``C_{t+1}`` and ``D_{t+2} + C_{t+2} C_{t+1}``. The second order
    does not explain a clip's second frame, so the influence of the first frame on it is that of the first order, A, as
    in the released code. Entries whose later frame does not exist or has no fit are 0.
    """
    x = batch.x
    (n, c, t, v, m), by_series = x.shape, (0, 2, 1, 3, 4)
    series, exists = (part.permute(by_series).reshape(n, t, -1) for part in (x, batch.mask.expand_as(x)))

    def fitted(p: int) -> Tensor:
        """(p, N, C, T, V, M) coefficients; those at t explain frame t."""
        found = tvar(series, exists, p, kernel).coefficients.to(x.dtype)
        return found.view(p, n, t, c, v, m).permute(0, 1, 3, 2, 4, 5)

    if order == 0:
        return ()
    (first,) = fitted(1)
    if order == 1:
        return (later(first, 1),)
    last, before = fitted(2)
    one = torch.cat([first[:, :, :2], last[:, :, 2:]], dim=2)
    return later(one, 1), later(before, 2) + later(last, 2) * later(one, 1)


def informed(gradient: Tensor, shares: Sequence[Tensor]) -> Tensor:
    """The skeleton-motion-informed gradient (N, C, T, V, M) of a gradient, with the shares of ``influence``."""
    return gradient + sum(share * later(gradient, frames) for frames, share in enumerate(shares, start=1))


def later(x: Tensor, frames: int) -> Tensor:
    """x (N, C, T, V, M), each frame replaced by the one ``frames`` later; 0 where there is none."""
    moved = torch.zeros_like(x)
    moved[:, :, : max(x.shape[2] - frames, 0)] = x[:, :, frames:]
    return moved

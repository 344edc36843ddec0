"""Time-varying autoregression of many series at once, by local-linear weighted least squares."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from skeleton_adv.core.ranges import Count, checked

Kernel = Literal["triweight", "epanechnikov"]
LEAST = 3  # observations with weight, without which a frame has no fit
SHORTEST = 5.0  # frames, the smallest bandwidth
LONGEST = 20.0  # times the number of observations, the largest bandwidth: its weights are almost equal
ALIASED = 1e-12  # share of a regressor's squares that earlier regressors do not explain, below which it is left out


class Fit(NamedTuple):
    """The coefficients that explain each frame of each series by the frames before it."""

    coefficients: Tensor  # (order, N, T, K) float64, of the frames t-1, t-2, ...; 0 where there is no fit
    bandwidth: Tensor  # (N, K) frames, the distance at which weights reach 0


@checked
def tvar(series: Tensor, exists: Tensor, order: int, kernel: Kernel = "triweight", bandwidths: Count = 12) -> Fit:
    """Time-varying autoregression without intercept, as tvReg's ``tvAR(p, type="none", est="ll")`` in R.

    Hard No-Box (Lu et al., arXiv 2308.05681) fits one to each coordinate of each joint. Frame t of a series S follows
    ``S_t = a_1(t) S_{t-1} + ... + a_p(t) S_{t-p}``; the coefficients at t are those of a weighted least-squares fit in
    which they change linearly with time, with weights ``K((s - t) / bandwidth)`` of the other frames s. Each series has
    the bandwidth with the smallest squared leave-one-out error: each frame is predicted without itself.

    - ``series`` (N, T, K) and ``exists`` (N, T, K) bool: K series of each of N clips, and their valid frames. A frame
      is explained if it and the ``order`` frames before it exist
    - ``kernel``: ``triweight`` is the default of tvReg 0.5.9, ``epanechnikov`` that of earlier versions
    - ``bandwidths``: the length of the logarithmic grid, from 5 frames to 20 times the number of observations

    A series that is constant has coefficients of 0, like one with too few frames. A regressor that the others explain
    exactly has the coefficient 0. Differs from tvReg: it minimises over a grid, not by Brent's method.
    """
    steps = max(series.shape[1] - order, 0)
    coefficients = series.new_zeros(order, *series.shape, dtype=torch.float64)
    best = series.new_full((len(series), series.shape[2]), torch.inf, dtype=torch.float64)
    chosen = torch.zeros_like(best)
    if steps < LEAST:
        return Fit(coefficients, chosen)
    data = _Moments.of(series.double(), exists, order)
    low, high = math.log(SHORTEST), math.log(LONGEST * steps)
    fits = torch.zeros_like(coefficients[:, :, order:])
    for number in range(bandwidths):
        bandwidth = math.exp(low + (high - low) * number / max(bandwidths - 1, 1))
        fit, error = data.fit(*_weights(steps, bandwidth, kernel, series.device))
        better = error < best  # the first of equal ones
        best, chosen = torch.where(better, error, best), torch.where(better, bandwidth, chosen)
        fits = torch.where(better[:, None], fit, fits)
    following = torch.cat([fits[1:], torch.zeros_like(fits[:1])])
    of_frames = torch.cat([fits[:1] + following[:1], following[1:] - fits[1:]])  # from those of ``_Moments``
    coefficients[:, :, order:] = torch.where(data.used, of_frames, 0)
    return Fit(coefficients, chosen)


class _Moments(NamedTuple):
    """The products whose weighted sums are the normal equations.

    Regressors are the last frame and the differences of each earlier frame to its successor. They are exact and far
    from collinear, unlike the frames, and have the same fit: ``b_1 S_{t-1} + b_2 (S_{t-1} - S_{t-2})``.
    """

    products: Tensor  # (N, n, P K) of two regressors, or of a regressor and the outcome; 0 if not observed
    regressors: Tensor  # (p, N, n, K)
    outcome: Tensor  # (N, n, K)
    used: Tensor  # (N, n, K) bool: which observations exist
    counts: Tensor  # (N, n, K) used, as numbers

    @classmethod
    def of(cls, series: Tensor, exists: Tensor, order: int) -> "_Moments":
        steps = series.shape[1] - order
        values = [series[:, order - lag : order - lag + steps] for lag in range(order + 1)]
        used = torch.stack([exists[:, order - lag : order - lag + steps] for lag in range(order + 1)]).all(dim=0)
        high, low = (torch.where(exists, series, sign * torch.inf) for sign in (-1, 1))
        used = used & (high.amax(dim=1) > low.amin(dim=1))[:, None]
        columns = [values[1], *(values[lag - 1] - values[lag] for lag in range(2, order + 1))]
        regressors = torch.where(used, torch.stack(columns), 0)
        outcome = torch.where(used, values[0], 0)
        rows = [*regressors, outcome]
        products = torch.cat([rows[i] * rows[j] for i in range(order) for j in range(i, order + 1)], dim=2)
        return cls(products, regressors, outcome, used, used.double())

    def fit(self, weight: Tensor, lag: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (p, N, n, K) with these weights (n, n), and the (N, K) leave-one-out error.

        Such an error is ``e / (1 - h)``, with the error e of the fit and the leverage h of the observation. It is
        infinite if an observation has fewer than ``LEAST`` others with weight.
        """
        p, zero = len(self.regressors), torch.zeros_like(self.outcome)
        sums = [self._sum(weight * lag**power, self.products).chunk(p * (p + 3) // 2, dim=2) for power in (0, 1, 2)]
        at = {pair: k for k, pair in enumerate((i, j) for i in range(p) for j in range(i, p + 1))}

        def moment(i: int, j: int) -> Tensor:  # 0..p-1: regressors; p..2p-1: these times the lag; 2p: the outcome
            first, second = sorted((i % p, p if j == 2 * p else j % p))
            return sums[(i >= p) + (p <= j < 2 * p)][at[first, second]]

        right = [*self.regressors, *[zero] * p]
        system = torch.stack([torch.stack([*(moment(i, j) for j in range(2 * p + 1)), right[i]]) for i in range(2 * p)])
        solved = _solved(system, [system[k, k] for k in range(2 * p)])  # (2p, 2, N, n, K)
        predicted, leverage = (self.regressors[:, None] * solved[:p]).sum(dim=0)
        residual = (self.outcome - predicted) / (1 - leverage).clamp(min=1e-12)  # the weight of an observation is 1
        neighbours = self._sum((weight > 0).double(), self.counts)
        lonely = (self.used & (neighbours <= LEAST)).any(dim=1) | ~self.used.any(dim=1)
        error = torch.where(self.used, residual.square(), 0).sum(dim=1) / self.counts.sum(dim=1).clamp(min=1)
        return solved[:p, 0], torch.where(lonely, torch.inf, error)

    def _sum(self, weight: Tensor, values: Tensor) -> Tensor:
        """Weighted sums over observations; one product per clip, so that clips do not depend on each other."""
        return torch.bmm(weight.expand(len(values), -1, -1), values)


def _weights(steps: int, bandwidth: float, kernel: Kernel, device: torch.device) -> tuple[Tensor, Tensor]:
    """(n, n) weights of observation j in the fit at i, and the times between them in units of the bandwidth."""
    time = torch.arange(steps, dtype=torch.float64, device=device)
    lag = (time[None] - time[:, None]) / bandwidth
    within = (1 - lag.square()).clamp(min=0)
    return within**3 if kernel == "triweight" else within, lag


def _solved(system: Tensor, sizes: Sequence[Tensor]) -> Tensor:
    """(q, r, ...) solutions of symmetric systems (q, q + r, ...) with r right sides, by elimination.

    A column of which a share below ``ALIASED`` of its original ``sizes`` is left has the solution 0, as in R's
    ``lm.wfit``.
    """
    q = len(system)
    pivot = system[0, 0]
    valid = pivot > ALIASED * sizes[0]
    row = torch.where(valid, system[0, 1:] / torch.where(valid, pivot, 1), 0)
    if q == 1:
        return row[None]
    rest = _solved(system[1:, 1:] - system[1:, :1] * row, sizes[1:])
    first = row[q - 1 :] - (row[: q - 1, None] * rest).sum(dim=0)
    return torch.cat([first[None], rest])

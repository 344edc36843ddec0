"""Time-varying autoregression: closed forms, a direct fit per series with NumPy, and series that have no fit."""

import time
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from skeleton_adv.attacks.tvar import SHORTEST, Kernel, tvar

kernels = pytest.mark.parametrize("kernel", ["triweight", "epanechnikov"])


def grown(start: list[float], frames: int, *coefficients: np.ndarray | float) -> np.ndarray:
    """A series (frames,) without noise; a coefficient may change over the frames."""
    by_frame = [np.broadcast_to(one, frames) for one in coefficients]
    series = np.zeros(frames)
    series[: len(start)] = start
    for t in range(len(start), frames):
        series[t] = sum(one[t] * series[t - lag] for lag, one in enumerate(by_frame, start=1))
    return series


def motions(n: int, frames: int, k: int, seed: int = 0) -> Tensor:
    """Smooth series (n, frames, k) around 3 m, with jitter."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 1, frames)[:, None]
    waves = 0.3 * np.sin(2 * np.pi * (rng.uniform(0.5, 2, (n, 1, k)) * t + rng.uniform(0, 1, (n, 1, k))))
    return torch.from_numpy(rng.uniform(-3, 3, (n, 1, k)) + waves + 0.003 * rng.normal(size=(n, frames, k)))


def exact(*values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def whole(series: Tensor) -> Tensor:
    return torch.ones(series.shape, dtype=torch.bool)


def tried(frames: int, order: int) -> np.ndarray:
    """The bandwidths of the grid, in frames."""
    return np.geomspace(SHORTEST, 20 * (frames - order), 12)


def direct(series: np.ndarray, order: int, kernel: str) -> tuple[np.ndarray, float]:
    """The same fit of one series (T,), frame by frame: coefficients (order, T) and bandwidth."""
    n = len(series) - order
    outcome = series[order:]
    regressors = np.stack([series[order - lag : order - lag + n] for lag in range(1, order + 1)], axis=1)

    def at(i: int, others: np.ndarray, bandwidth: float) -> np.ndarray:
        lag = (np.arange(n) - i) / bandwidth
        weight = np.maximum(1 - lag**2, 0) ** (3 if kernel == "triweight" else 1) * others
        design = np.concatenate([regressors, regressors * lag[:, None]], axis=1) * np.sqrt(weight)[:, None]
        found: np.ndarray = np.linalg.lstsq(design, outcome * np.sqrt(weight), rcond=1e-14)[0][:order]
        return found

    def error(bandwidth: float) -> float:
        return float(
            np.mean([(outcome[i] - regressors[i] @ at(i, np.arange(n) != i, bandwidth)) ** 2 for i in range(n)])
        )

    bandwidth = float(min(tried(len(series), order), key=error))
    fits = np.stack([at(i, np.ones(n), bandwidth) for i in range(n)], axis=1)
    return np.concatenate([np.zeros((order, order)), fits], axis=1), bandwidth


@kernels
def test_constant_coefficients_are_recovered(kernel: Kernel) -> None:
    first = torch.from_numpy(np.stack([grown([2.0], 30, a) for a in (0.9, -0.8, 1.02)], axis=1))[None]
    fit = tvar(first, whole(first), 1, kernel).coefficients[0, 0]
    torch.testing.assert_close(fit[1:], exact(0.9, -0.8, 1.02).expand(29, 3), rtol=1e-8, atol=0)
    second = torch.from_numpy(np.stack([grown([1.0, 0.8], 40, 1.6, -0.9), grown([3, 3.01], 40, 0.4, 0.61)], axis=1))
    fit = tvar(second[None], whole(second[None]), 2, kernel).coefficients[:, 0]
    expected = exact([1.6, 0.4], [-0.9, 0.61])
    torch.testing.assert_close(fit[:, 2:], expected[:, None].expand(2, 38, 2), rtol=1e-3, atol=1e-5)
    assert not fit[:, :2].any()


@kernels
def test_coefficients_that_change_linearly_are_recovered(kernel: Kernel) -> None:
    frames = 40
    slope = np.linspace(0.7, 1.1, frames)
    series = torch.from_numpy(grown([5.0], frames, slope)).view(1, frames, 1)
    fit = tvar(series, whole(series), 1, kernel)
    np.testing.assert_allclose(fit.coefficients[0, 0, 1:, 0], slope[1:], rtol=1e-6)
    changing = torch.from_numpy(grown([1.0, 0.5], frames, slope, -slope / 2)).view(1, frames, 1)
    found = tvar(changing, whole(changing), 2, kernel).coefficients[:, 0, 2:, 0]
    np.testing.assert_allclose(found, np.stack([slope, -slope / 2])[:, 2:], rtol=1e-5)


@kernels
@pytest.mark.parametrize("order", [1, 2])
def test_agrees_with_a_direct_fit_per_series(order: int, kernel: Kernel) -> None:
    series = motions(1, 16, 3)
    fit = tvar(series, whole(series), order, kernel)
    for k in range(3):
        coefficients, bandwidth = direct(series[0, :, k].numpy(), order, kernel)
        assert float(fit.bandwidth[0, k]) == pytest.approx(bandwidth)
        np.testing.assert_allclose(fit.coefficients[:, 0, :, k], coefficients, rtol=1e-6, atol=1e-7)


def test_noise_asks_for_a_longer_bandwidth_than_a_change() -> None:
    rng = np.random.default_rng(3)
    frames = 120
    steady, jumping = np.zeros(frames), np.zeros(frames)
    for t in range(1, frames):
        steady[t] = 0.6 * steady[t - 1] + rng.normal()
        jumping[t] = (0.95 if (t // 30) % 2 else -0.95) * jumping[t - 1] + rng.normal()
    series = torch.from_numpy(np.stack([steady, jumping], axis=1))[None]
    fit = tvar(series, whole(series), 1)
    assert fit.bandwidth[0, 0] > 2 * fit.bandwidth[0, 1]
    assert (fit.coefficients[0, 0, 1:, 0] - 0.6).abs().mean() < 0.15


def test_series_without_a_fit_have_coefficients_of_zero() -> None:
    series = motions(2, 12, 6)
    exists = whole(series)
    series[:, :, 0] = 0.0
    series[:, :, 1] = 2.5
    exists[:, 3:, 2] = False  # too few frames
    exists[:, :, 3] = False
    series[:, :, 3] = torch.nan  # values of frames that do not exist are not read
    exists[0, 4:7, 4] = False
    series[0, 4:7, 4] = torch.inf
    for order in (1, 2):
        fit = tvar(series, exists, order)
        found = fit.coefficients
        assert found.isfinite().all() and fit.bandwidth.isfinite().all()
        assert not found[..., :4].any() and found[..., 5].any()
        assert not found[:, 0, 4 : 7 + order, 4].any()  # a frame before them is missing
        assert found[:, 1, 5:, 4].any()


def test_short_clips_have_no_fit() -> None:
    for frames in (1, 2, 3, 4):
        series = motions(1, frames, 2)
        found = tvar(series, whole(series), 2).coefficients
        assert found.shape == (2, 1, frames, 2) and not found.any()


def test_only_valid_frames_count() -> None:
    """A clip that is padded has the coefficients of the clip alone, up to the grid of bandwidths."""
    series = motions(1, 20, 4)
    padded = torch.cat([series, torch.zeros(1, 10, 4)], dim=1)
    exists = torch.arange(30).view(1, 30, 1).expand_as(padded) < 20
    long = tvar(padded, exists, 2).coefficients
    other = torch.cat([series, motions(1, 10, 4, seed=5)], dim=1)
    assert torch.equal(long, tvar(other, exists, 2).coefficients) and not long[:, :, 20:].any()
    constant = torch.from_numpy(grown([1.0, 0.8], 20, 1.6, -0.9)).view(1, 20, 1)
    filled = torch.cat([constant, torch.zeros(1, 10, 1)], dim=1)
    found = tvar(filled, exists[..., :1], 2).coefficients[:, 0, 2:20, 0]
    torch.testing.assert_close(found, exact([1.6], [-0.9]).expand(2, 18), rtol=1e-6, atol=0)


def test_a_regressor_that_is_explained_has_the_coefficient_zero() -> None:
    """A geometric series: the frame before the last one adds nothing."""
    series = torch.from_numpy(grown([4.0], 24, 0.9)).view(1, 24, 1)
    found = tvar(series, whole(series), 2).coefficients[:, 0, 2:, 0]
    torch.testing.assert_close(found, exact([0.9], [0.0]).expand(2, 22), rtol=1e-6, atol=1e-6)


def test_series_do_not_depend_on_each_other() -> None:
    series = motions(3, 16, 5)
    fit = tvar(series, whole(series), 2).coefficients
    assert torch.equal(tvar(series[[2, 0, 1]], whole(series), 2).coefficients, fit[:, [2, 0, 1]])
    alone = tvar(series[:, :, 3:4], whole(series[:, :, 3:4]), 2).coefficients
    torch.testing.assert_close(alone[..., 0], fit[..., 3], rtol=1e-6, atol=1e-8)


def test_scale_does_not_change_the_coefficients() -> None:
    series = motions(1, 20, 4).float()
    fit = [tvar(series * scale, whole(series), 2).coefficients for scale in (1.0, 2.0**-20, 2.0**20)]
    assert torch.equal(fit[0], fit[1]) and torch.equal(fit[0], fit[2])


@pytest.mark.slow
def test_is_fifty_times_faster_than_one_fit_at_a_time() -> None:
    series = motions(8, 32, 60)
    tvar(series, whole(series), 2)
    began = time.perf_counter()
    fit = tvar(series, whole(series), 2)
    together = (time.perf_counter() - began) / (8 * 60)
    began = time.perf_counter()
    for k in range(3):
        coefficients, _ = direct(series[0, :, k].numpy(), 2, "triweight")
        np.testing.assert_allclose(fit.coefficients[:, 0, :, k], coefficients, rtol=1e-5, atol=1e-6)
    alone = (time.perf_counter() - began) / 3
    print(f"{1 / together:.0f} series per second together, {1 / alone:.1f} one at a time")
    assert alone > 50 * together

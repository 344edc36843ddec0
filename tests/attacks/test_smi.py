"""The skeleton-motion-informed gradient of series that follow an autoregression exactly, in closed form."""

from dataclasses import replace

import numpy as np
import torch
from conftest import make_batch
from torch import Tensor

from skeleton_adv.attacks.smi import influence, informed, later
from skeleton_adv.attacks.tvar import tvar
from skeleton_adv.core.batch import SkeletonBatch

C, D, A = 1.6, -0.9, 0.93


def clips_of(series: Tensor, t: int) -> SkeletonBatch:
    """Clips whose coordinates are multiples of a series (t,)."""
    batch = make_batch(n=2, t=t, m=1)
    size = torch.arange(1, batch.x[:, :, :1].numel() + 1, dtype=torch.float64).view_as(batch.x[:, :, :1])
    return replace(batch, x=size * series.view(1, 1, t, 1, 1), mask=torch.ones_like(batch.mask))


def second_order(t: int) -> Tensor:
    series = [1.0, 0.8]
    while len(series) < t:
        series.append(C * series[-1] + D * series[-2])
    return torch.tensor(series, dtype=torch.float64)


def last_frame(batch: SkeletonBatch) -> Tensor:
    """The gradient of the sum of the coordinates of the last frame."""
    gradient = torch.zeros_like(batch.x)
    gradient[:, :, -1] = 1
    return gradient


def test_of_an_exact_series_of_second_order() -> None:
    """The last frame S_T has the gradient C at T-1 and D + C C at T-2."""
    batch = clips_of(second_order(24), 24)
    found = informed(last_frame(batch), influence(batch, 2))
    expected = torch.zeros_like(batch.x)
    for back, value in enumerate((1.0, C, D + C * C)):
        expected[:, :, -1 - back] = value
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


def test_of_an_exact_series_of_first_order() -> None:
    batch = clips_of(3 * A ** torch.arange(20, dtype=torch.float64), 20)
    (share,) = influence(batch, 1)
    torch.testing.assert_close(share[:, :, :-1], torch.full_like(share[:, :, 1:], A), rtol=1e-6, atol=0)
    gradient = torch.randn(batch.x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = informed(gradient, (share,))
    torch.testing.assert_close(found[:, :, :-1], gradient[:, :, :-1] + A * gradient[:, :, 1:], rtol=1e-6, atol=1e-6)
    assert torch.equal(found[:, :, -1], gradient[:, :, -1])


def test_shares_are_those_of_equation_10_frame_by_frame() -> None:
    """By the released code's index map: the first frame's share of the second one is that of the first order."""
    batch = make_batch(n=1, t=12, m=1)
    batch = replace(batch, mask=torch.ones_like(batch.mask))
    (one,), (first, second) = influence(batch, 1), influence(batch, 2)
    series = batch.x[:, 1, :, 7]  # (1, T, 1)
    a, (c, d) = (tvar(series, torch.ones_like(series).bool(), p).coefficients[:, 0, :, 0] for p in (1, 2))
    for s in range(12):
        e1 = 0.0 if s == 11 else float(a[0, 1] if s == 0 else c[s + 1])
        e2 = 0.0 if s >= 10 else float(d[s + 2] + c[s + 2] * e1)
        np.testing.assert_allclose(float(first[0, 1, s, 7, 0]), e1, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(float(second[0, 1, s, 7, 0]), e2, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(one[0, 1, :-1, 7, 0], a[0, 1:], rtol=1e-7)


def test_absent_frames_have_no_influence() -> None:
    batch = make_batch(n=2, t=10)
    mask = batch.mask.clone()
    mask[0, :, 6:, :, 0] = False
    batch = replace(batch, mask=mask, x=torch.where(mask, batch.x, 0))
    for order in (1, 2):
        shares = influence(batch, order)  # type: ignore[arg-type]
        assert len(shares) == order
        for frames, share in enumerate(shares, start=1):
            assert share.isfinite().all() and not share[0, :, 6 - frames :, :, 0].any()
            assert not share[0, ..., 1].any() and share[1, ..., 1].any()
    assert influence(batch, 0) == ()
    assert torch.equal(informed(batch.x, ()), batch.x)


def test_later_frames_end_with_zeros() -> None:
    x = torch.arange(4.0).view(1, 1, 4, 1, 1)
    assert later(x, 1).flatten().tolist() == [1, 2, 3, 0]
    assert later(x, 2).flatten().tolist() == [2, 3, 0, 0]
    assert later(x, 5).flatten().tolist() == [0, 0, 0, 0]

"""Noise per clip: its distribution, its independence, and its invariance to the batch."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from skeleton_adv.core.noise import normal, uniform

INDEX = torch.arange(40)
LIKE = torch.zeros(40, 3, 8, 25, 2, dtype=torch.float64)


def test_the_distribution() -> None:
    drawn = normal(LIKE, INDEX, 0, "a").flatten().numpy()
    assert kstest(drawn, "norm").pvalue > 0.01
    assert kstest(drawn**2, "chi2", args=(1,)).pvalue > 0.01
    assert kstest(uniform(LIKE, INDEX, 0, "a").flatten().numpy(), "uniform").pvalue > 0.01
    assert np.isfinite(drawn).all() and 3.5 < abs(drawn).max() < 6.8


def test_neighbours_are_not_correlated() -> None:
    drawn = normal(LIKE, INDEX, 0, "a").flatten(1)
    limit = 5 / drawn.numel() ** 0.5
    assert abs(float((drawn[:, 1:] * drawn[:, :-1]).mean())) < limit
    assert abs(float((drawn[1:] * drawn[:-1]).mean())) < limit  # between clips
    half = drawn.shape[1] // 2
    assert abs(float((drawn[:, :half] * drawn[:, half:]).mean())) < limit  # between the two numbers of a pair
    assert abs(float((drawn[:, :half] ** 2 * drawn[:, half:] ** 2).mean()) - 1) < 3 * limit


@pytest.mark.parametrize("other", [{"seed": 1}, {"purpose": "b"}, {"draw": 1}])
def test_streams_are_different(other: dict[str, object]) -> None:
    first = normal(LIKE, INDEX, **{"seed": 0, "purpose": "a", "draw": 0})
    second = normal(LIKE, INDEX, **{"seed": 0, "purpose": "a", "draw": 0, **other})  # type: ignore[arg-type]
    assert abs(float((first * second).mean())) < 5 / first.numel() ** 0.5


def test_a_clips_noise_does_not_depend_on_the_batch() -> None:
    whole = normal(LIKE, INDEX, 3, "a", 7)
    mixed = normal(LIKE[:3], torch.tensor([31, 2, 31]), 3, "a", 7)
    assert torch.equal(mixed, whole[[31, 2, 31]])
    low = normal(LIKE.float(), INDEX, 3, "a", 7)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), whole, rtol=0, atol=1e-4)
    assert normal(LIKE[:0], INDEX[:0], 0, "a").shape == (0, 3, 8, 25, 2)
    assert normal(torch.zeros(2, 5), INDEX[:2], 0, "a").shape == (2, 5)

"""The confidence sequence covers at every time, by exact computation and by simulation, and decides as it should."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from skeleton_adv.certificates.radii import clopper_pearson
from skeleton_adv.certificates.sequence import SHARE, Bounds, Decision, interval
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.core.errors import SettingError

N, BLOCK = 112, 16


def decision(alpha: float, n: int = N) -> Decision:
    return Decision((0.1, 0.25, 0.5), 0.25, n, alpha)


def test_the_interval_is_where_the_mixture_is_likely_less_than_one_over_alpha() -> None:
    """The mixture's likelihood is an integral over Jeffreys' prior, here by quadrature in p = sin(t)^2."""
    t = (np.arange(200_000) + 0.5) / 200_000 * math.pi / 2
    p = np.sin(t) ** 2
    for hits, draws in ((0, 7), (3, 7), (7, 7), (93, 100), (480, 500)):
        mixed = math.log(np.mean(np.exp(hits * np.log(p) + (draws - hits) * np.log1p(-p))))
        for end in interval(hits, draws, 0.01):
            if 0 < end < 1:
                likelihood = hits * math.log(end) + (draws - hits) * math.log1p(-end)
                assert mixed - likelihood == pytest.approx(math.log(100), abs=1e-5)
    assert interval(0, 0, 0.01) == (0.0, 1.0) and interval(7, 7, 0.01)[1] == 1.0 and interval(0, 7, 0.01)[0] == 0.0
    flipped = [1 - end for end in reversed(interval(97, 100, 0.01))]
    assert interval(3, 100, 0.01) == pytest.approx(flipped)


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("p", [0.3, 0.6554, 0.9772])
def test_the_probability_that_the_bounds_ever_miss_is_at_most_alpha(p: float, alpha: float) -> None:
    """By exact recursion over the counts: the mass that leaves the bounds at any of the N draws."""
    how = decision(alpha)
    alive, missed = np.array([1.0]), 0.0
    for draws in range(1, N + 1):
        alive = np.append(alive * (1 - p), 0.0) + np.append(0.0, alive * p)
        for hits in np.flatnonzero(alive):
            bounds = Bounds()
            how.seen(bounds, int(hits), draws)
            if not bounds.low <= p <= bounds.high:
                missed, alive[hits] = missed + alive[hits], 0.0
    assert 0 < missed <= alpha and alive.sum() + missed == pytest.approx(1)


@pytest.mark.parametrize(("radius", "alpha"), [(0.1, 0.2), (0.25, 0.05), (0.5, 0.2)])
def test_a_simulated_clip_at_the_border_is_certified_with_probability_at_most_alpha(
    radius: float, alpha: float
) -> None:
    """The probability is just too small for the radius; decisions are made as in a certification, by blocks."""
    rng, how, repetitions = np.random.default_rng(0), decision(alpha), 400
    p = float(norm.cdf(radius / 0.25)) - 1e-9
    wrong = uncovered = 0
    for _ in range(repetitions):
        bounds, inside = Bounds(), True
        while not how.is_over(bounds):
            how.seen(bounds, int(rng.binomial(BLOCK, p)), BLOCK)
            inside &= bounds.low <= p <= bounds.high
        wrong, uncovered = wrong + (how.result(bounds)[0] >= radius), uncovered + (not inside)
    for events in (wrong, uncovered):
        assert binomtest(events, repetitions, alpha, alternative="greater").pvalue > 1e-4


def test_decisions_are_early_and_almost_those_of_all_draws() -> None:
    """Clips over the whole range of probabilities: at most half of the draws, and certified accuracy within a point."""
    rng, how, n = np.random.default_rng(0), decision(0.001, 1000), 1000
    chances = norm.cdf(np.linspace(-0.1, 0.8, 120) / 0.25)
    found, fixed, used = [], [], 0
    for p in chances:
        draws = rng.random(n) < p
        bounds = Bounds()
        while not how.is_over(bounds):
            block = draws[bounds.draws : bounds.draws + BLOCK]
            how.seen(bounds, int(block.sum()), len(block))
        used += bounds.draws
        found.append(how.result(bounds)[0])
        fixed.append(0.25 * norm.ppf(clopper_pearson(int(draws.sum()), n, 0.001)))
    assert used < len(chances) * n / 2
    for radius in how.radii:
        early, late = np.mean(np.array(found) >= radius), np.mean(np.array(fixed) >= radius)
        assert abs(early - late) <= 0.01


def test_the_last_look_and_hopeless_radii() -> None:
    how = decision(0.001, 100)
    for hits in range(101):
        bounds = Bounds()
        how.seen(bounds, hits, 100)
        assert how.is_over(bounds)
        last = 0.25 * norm.ppf(max(clopper_pearson(hits, 100, (1 - SHARE) * 0.001), 1e-9))
        assert how.result(bounds)[0] == max((r for r in how.radii if last >= r), default=0.0)
    # 0.5 requires a probability of 0.977, which 100 draws cannot show; the others are lost after 30 misses.
    bounds = Bounds()
    how.seen(bounds, 0, 30)
    assert how.is_over(bounds) and not how.result(bounds)[0]
    bounds = Bounds()
    how.seen(bounds, 99, 99)
    assert how.is_over(bounds) and how.result(bounds)[0] == 0.25


@pytest.mark.parametrize("stop", [[0.5, 0.1], [0.1, 0.1], [-0.1], ["a"], 0.1])
def test_radii_are_checked(stop: object) -> None:
    with pytest.raises(SettingError, match=r"smoothing\.stop"):
        Smoothing(stop=stop)  # type: ignore[arg-type]

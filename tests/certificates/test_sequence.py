"""The confidence sequence covers at every time, by exact computation and by simulation, and decides as it should."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from skeleton_adv.certificates.radii import clopper_pearson
from skeleton_adv.certificates.sequence import PRIOR, SHARE, Decision, Seen, lower
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.core.errors import SettingError

N, BLOCK = 96, 16


def decision(alpha: float, n: int = N) -> Decision:
    return Decision((0.1, 0.25, 0.5), 0.25, n, alpha)


def test_the_bound_is_where_the_mixture_is_likely_less_than_one_over_alpha() -> None:
    """The mixture's likelihood is an integral over its prior, here by quadrature in 1 - p = u^(1 / 0.15)."""
    u = (np.arange(400_000) + 0.5) / 400_000
    p = -np.expm1(np.log(u) / PRIOR[1])  # distributed by Beta(1, 0.15)
    for hits, draws in ((3, 7), (93, 100), (480, 500), (60, 60)):
        mixed = math.log(np.mean(np.exp(hits * np.log(np.maximum(p, 1e-300)) + (draws - hits) * np.log(u) / PRIOR[1])))
        end = lower(hits, draws, 0.01)
        assert 0 < end < hits / draws
        likelihood = hits * math.log(end) + (draws - hits) * math.log1p(-end)
        assert mixed - likelihood == pytest.approx(math.log(100), abs=1e-3)
    assert lower(0, 0, 0.01) == lower(0, 7, 0.01) == 0.0


@pytest.mark.parametrize("alpha", [0.05, 0.001])
@pytest.mark.parametrize("p", [0.3, 0.6554, 0.9772])
def test_the_probability_that_the_bound_is_ever_too_high_is_at_most_alpha(p: float, alpha: float) -> None:
    """By exact recursion over the counts: the probability that the bound exceeds p at any of the N draws."""
    how = decision(alpha)
    alive, missed = np.array([1.0]), 0.0
    for draws in range(1, N + 1):
        alive = np.append(alive * (1 - p), 0.0) + np.append(0.0, alive * p)
        for hits in np.flatnonzero(alive > 1e-12):
            seen = Seen()
            how.add(seen, int(hits), draws)
            if seen.low > p:
                missed, alive[hits] = missed + alive[hits], 0.0
    assert missed <= alpha and alive.sum() + missed == pytest.approx(1)


@pytest.mark.parametrize(("radius", "alpha"), [(0.1, 0.2), (0.25, 0.05), (0.5, 0.2)])
def test_a_simulated_clip_at_the_border_is_certified_with_probability_at_most_alpha(
    radius: float, alpha: float
) -> None:
    """The probability is just too small for the radius; decisions are made as in a certification, by blocks."""
    rng, how, repetitions = np.random.default_rng(0), decision(alpha), 400
    p = float(norm.cdf(radius / 0.25)) - 1e-9
    wrong = above = 0
    for _ in range(repetitions):
        seen = Seen()
        while not how.is_over(seen):
            how.add(seen, int(rng.binomial(BLOCK, p)), BLOCK)
        wrong, above = wrong + (how.result(seen)[0] >= radius), above + (seen.low > p)
    for events in (wrong, above):
        assert binomtest(events, repetitions, alpha, alternative="greater").pvalue > 1e-4


def test_decisions_are_early_and_almost_those_of_all_draws() -> None:
    """Clips over the whole range of probabilities: at most half of the draws, and certified accuracy within a point."""
    rng, how, n = np.random.default_rng(0), decision(0.001, 1000), 1000
    chances = norm.cdf(np.linspace(-0.1, 0.8, 120) / 0.25)
    found, fixed, used = [], [], 0
    for p in chances:
        draws = rng.random(n) < p
        seen = Seen()
        while not how.is_over(seen):
            block = draws[seen.draws : seen.draws + BLOCK]
            how.add(seen, int(block.sum()), len(block))
        used += seen.draws
        found.append(how.result(seen)[0])
        fixed.append(0.25 * norm.ppf(clopper_pearson(int(draws.sum()), n, 0.001)))
    assert used < len(chances) * n / 2
    for radius in how.radii:
        early, late = np.mean(np.array(found) >= radius), np.mean(np.array(fixed) >= radius)
        assert abs(early - late) <= 0.01


def test_the_last_look_and_hopeless_radii() -> None:
    how = decision(0.001, 100)
    for hits in range(101):
        seen = Seen()
        how.add(seen, hits, 100)
        assert how.is_over(seen)
        last = 0.25 * norm.ppf(max(clopper_pearson(hits, 100, (1 - SHARE) * 0.001), 1e-9))
        assert how.result(seen)[0] == max((r for r in how.radii if last >= r), default=0.0)
    # 0.5 requires a probability of 0.977, which 100 draws cannot show; the others are lost after 30 misses.
    for hits, draws, radius in ((0, 30, 0.0), (99, 99, 0.25)):
        seen = Seen()
        how.add(seen, hits, draws)
        assert how.is_over(seen) and how.result(seen)[0] == radius
    assert not how.is_over(Seen())


@pytest.mark.parametrize("stop", [[0.5, 0.1], [0.1, 0.1], [-0.1], ["a"], 0.1])
def test_radii_are_checked(stop: object) -> None:
    with pytest.raises(SettingError, match=r"smoothing\.stop"):
        Smoothing(stop=stop)  # type: ignore[arg-type]

"""The tests of given radii err as rarely as they claim, by exact computation and by simulation, and decide early."""

import math

import numpy as np
import pytest
from scipy.stats import binomtest, norm

from skeleton_adv.certificates.radii import clopper_pearson
from skeleton_adv.certificates.sequence import PRIOR, Decision, Seen, early, thresholds
from skeleton_adv.certificates.smoothing import Smoothing
from skeleton_adv.core.errors import SettingError

N, BLOCK = 96, 16


def decision(alpha: float, n: int = N) -> Decision:
    return Decision((0.1, 0.25, 0.5), 0.25, n, alpha, BLOCK)


def decided(how: Decision, draws: np.ndarray) -> Seen:
    """A clip of which these draws predict the class, in blocks, until it is over."""
    seen = Seen()
    while not how.is_over(seen):
        block = draws[seen.draws : seen.draws + BLOCK]
        how.add(seen, int(block.sum()), len(block))
    return seen


@pytest.mark.parametrize(("p", "draws"), [(0.6, 40), (0.84, 300), (0.977, 600)])
def test_a_number_of_hits_shows_p_if_the_mixture_is_likely_more_than_one_over_alpha(p: float, draws: int) -> None:
    """The mixture's likelihood is an integral over its prior, here by quadrature in 1 - p = u^(1 / 0.15)."""
    u = (np.arange(400_000) + 0.5) / 400_000
    chance = -np.expm1(np.log(u) / PRIOR[1])  # distributed by Beta(1, 0.15)

    def quotient(hits: int) -> float:
        likelihood = hits * np.log(np.maximum(chance, 1e-300)) + (draws - hits) * np.log(u) / PRIOR[1]
        return float(np.log(np.mean(np.exp(likelihood - hits * math.log(p) - (draws - hits) * math.log1p(-p)))))

    least = early(p, draws, 0.01)
    assert p * draws < least <= draws and quotient(least - 1) < math.log(100) <= quotient(least)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
@pytest.mark.parametrize("p", [0.3, 0.6554, 0.9772])
def test_the_probability_of_an_error_at_any_time_is_at_most_alpha(p: float, alpha: float) -> None:
    """By exact recursion over single draws; for a smaller probability, it is smaller."""
    least, missed = thresholds(p, N + 7, BLOCK, alpha), []
    for chance in (p, 0.99 * p):
        alive, missed = np.array([1.0]), [*missed, 0.0]
        for draws in range(1, N + 8):
            alive = np.append(alive * (1 - chance), 0.0) + np.append(0.0, alive * chance)
            if draws % BLOCK == 0 or draws == N + 7:
                bound = least[-(-draws // BLOCK) - 1]
                missed[-1] += alive[bound:].sum()
                alive[bound:] = 0.0
        assert alive.sum() + missed[-1] == pytest.approx(1)
    assert missed[1] <= missed[0] <= alpha
    assert missed[0] > alpha / 4 or p**N > alpha / 4


@pytest.mark.parametrize(("radius", "alpha"), [(0.1, 0.2), (0.25, 0.05), (0.5, 0.2)])
def test_a_simulated_clip_at_the_border_is_certified_with_probability_at_most_alpha(
    radius: float, alpha: float
) -> None:
    """The probability is just too small for the radius; decisions are made as in a certification, by blocks."""
    rng, how, repetitions = np.random.default_rng(0), decision(alpha), 400
    p = float(norm.cdf(radius / 0.25)) - 1e-9
    wrong = sum(how.result(decided(how, rng.random(N) < p))[0] >= radius for _ in range(repetitions))
    assert binomtest(wrong, repetitions, alpha, alternative="greater").pvalue > 1e-4


def test_decisions_are_early_and_almost_those_of_all_draws() -> None:
    """Clips over the whole range of probabilities: at most half of the draws, and certified accuracy within a point."""
    rng, how, n = np.random.default_rng(0), decision(0.001, 1000), 1000
    found, fixed, used = [], [], 0
    for p in norm.cdf(np.linspace(-0.1, 0.8, 120) / 0.25):
        draws = rng.random(n) < p
        seen = decided(how, draws)
        used += seen.draws
        found.append(how.result(seen)[0])
        fixed.append(0.25 * norm.ppf(clopper_pearson(int(draws.sum()), n, 0.001)))
    assert used < 120 * n / 2
    for radius in how.radii:
        early_rate, late_rate = np.mean(np.array(found) >= radius), np.mean(np.array(fixed) >= radius)
        assert abs(early_rate - late_rate) <= 0.01


def test_the_last_look_is_almost_that_of_clopper_and_pearson() -> None:
    for p in (0.3, 0.6554, 0.8413, 0.9772):
        alone = next(hits for hits in range(1001) if clopper_pearson(hits, 1000, 0.001) >= p)
        assert alone <= thresholds(p, 1000, BLOCK, 0.001)[-1] <= alone + 1
    assert thresholds(1.0, 20, BLOCK, 0.001) == [17, 21]


def test_sure_and_hopeless_radii() -> None:
    # 0.5 requires a probability of 0.977, which 100 draws cannot show; the others are lost after 32 misses.
    how = decision(0.001, 100)
    for hits, draws, radius in ((0, 32, 0.0), (96, 96, 0.25)):
        seen = decided(how, np.arange(100) < hits)
        assert how.result(seen)[0] == radius and seen.draws <= draws
    assert not how.is_over(Seen()) and how.result(Seen()) == (0.0, 0.0)


@pytest.mark.parametrize("stop", [[0.5, 0.1], [0.1, 0.1], [-0.1], ["a"], 0.1])
def test_radii_are_checked(stop: object) -> None:
    with pytest.raises(SettingError, match=r"smoothing\.stop"):
        Smoothing(stop=stop)  # type: ignore[arg-type]

"""A confidence sequence for a probability, which decides given radii before all draws are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

SHARE = 0.5  # the share of alpha for the sequence; the rest is for the last look, at all n draws


def interval(hits: int, draws: int, alpha: float) -> tuple[float, float]:
    """The confidence sequence of the beta-binomial mixture at ``draws``, of which ``hits`` succeed.

    Statistical methods related to the law of the iterated logarithm (Robbins, 1970); Time-uniform, nonparametric,
    nonasymptotic confidence sequences (Howard et al., arXiv 1810.08240). The likelihood of the mixture divided by that
    of the true p is a martingale that begins at 1, so by Ville's inequality the probability that it ever reaches
    1 / alpha is at most alpha. The interval contains each p for which it is below 1 / alpha. The mixture is Jeffreys'
    prior, Beta(1/2, 1/2), because certified probabilities are near 1.
    """
    return _lower(hits, draws, alpha), 1 - _lower(draws - hits, draws, alpha)


def _lower(hits: int, draws: int, alpha: float) -> float:
    """The lower end, by bisection between 0 and the observed frequency, towards 0."""
    low, high = 0.0, hits / draws if draws else 0.0
    mixed = _log_beta(hits + 0.5, draws - hits + 0.5) - _log_beta(0.5, 0.5)
    while high - low > 1e-12:
        p = (low + high) / 2
        likelihood = hits * math.log(p) + (draws - hits) * math.log1p(-p)
        low, high = (p, high) if mixed - likelihood >= -math.log(alpha) else (low, p)
    return low


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@dataclass
class Bounds:
    """What the draws so far say about the probability of one clip's class: all the confidence sequence, intersected."""

    hits: int = 0
    draws: int = 0
    low: float = 0.0
    high: float = 1.0


@dataclass(frozen=True)
class Decision:
    """Decides for each of ``radii`` whether a class is certified there, with at most ``n`` draws.

    A class is certified at radius r if its probability is at least Phi(r / sigma) (Cohen et al., arXiv 1902.02918).
    ``SHARE`` of ``alpha`` is for the sequence, which may decide at any time, and the rest for Clopper and Pearson's
    bound at all ``n`` draws. By the union bound, a radius is certified wrongly with probability at most alpha,
    whenever one stops.
    """

    radii: Sequence[float]
    sigma: float
    n: int
    alpha: float
    _least: list[tuple[float, int]] = field(init=False, repr=False)  # of each radius: probability, hits that certify it

    def __post_init__(self) -> None:
        from scipy.stats import norm

        found = [float(norm.cdf(radius / self.sigma)) for radius in self.radii]
        object.__setattr__(self, "_least", [(p, self._hits_for(p)) for p in found])

    def seen(self, bounds: Bounds, hits: int, draws: int) -> None:
        """Add ``draws`` of which ``hits`` predict the class."""
        bounds.hits, bounds.draws = bounds.hits + hits, bounds.draws + draws
        low, high = interval(bounds.hits, bounds.draws, SHARE * self.alpha)
        if bounds.draws >= self.n:
            low = max(low, self._last(bounds.hits))
        bounds.low, bounds.high = max(bounds.low, low), min(bounds.high, high)

    def is_over(self, bounds: Bounds) -> bool:
        """Whether each radius is decided, by the sequence or because no more draws can change the last look."""
        rest = self.n - bounds.draws
        return all(
            bounds.low >= p or bounds.high < p or bounds.hits >= least or bounds.hits + rest < least
            for p, least in self._least
        )

    def result(self, bounds: Bounds) -> tuple[float, float]:
        """The largest of the radii that is certified, 0 if none is, and the lower bound on the probability."""
        known = zip(self.radii, self._least, strict=True)
        certified = [(r, p) for r, (p, least) in known if bounds.low >= p or bounds.hits >= least]
        radius, p = certified[-1] if certified else (0.0, 0.0)
        return radius, max(p, bounds.low)

    def _hits_for(self, p: float) -> int:
        """The smallest number of hits in all ``n`` draws that certifies a probability of ``p``; n + 1 if none does."""
        low, high = 0, self.n + 1
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._last(middle) >= p else (middle + 1, high)
        return low

    def _last(self, hits: int) -> float:
        from skeleton_adv.certificates.radii import clopper_pearson

        return clopper_pearson(hits, self.n, (1 - SHARE) * self.alpha)

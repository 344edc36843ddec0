"""A confidence sequence for a probability, which decides given radii before all draws are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

SHARE = 0.5  # the share of alpha for the sequence; the rest is for the last look, at all n draws
PRIOR = (1.0, 0.15)  # the mixture over the probability: most of it near 1, as the probabilities that are certified
HOPELESS = 2.33  # deviations: a radius is refused if its last look would succeed in 1 % of cases


def lower(hits: int, draws: int, alpha: float) -> float:
    """The lower end of a confidence sequence at ``draws``, of which ``hits`` succeed: the beta-binomial mixture.

    Statistical methods related to the law of the iterated logarithm (Robbins, 1970); Time-uniform, nonparametric,
    nonasymptotic confidence sequences (Howard et al., arXiv 1810.08240). The likelihood of the mixture, here Beta(1,
    0.15), divided by that of the true p is a martingale that begins at 1, so by Ville's inequality the probability that
    it ever reaches 1 / alpha is at most alpha. The bound is the smallest p for which it is below 1 / alpha.
    """
    low, high = 0.0, hits / draws if draws else 0.0
    mixed = _log_beta(hits + PRIOR[0], draws - hits + PRIOR[1]) - _log_beta(*PRIOR)
    while high - low > 1e-12:  # bisection: the quotient falls with p below the observed frequency
        p = (low + high) / 2
        likelihood = hits * math.log(p) + (draws - hits) * math.log1p(-p)
        low, high = (p, high) if mixed - likelihood >= -math.log(alpha) else (low, p)
    return low


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@dataclass
class Seen:
    """The draws of one clip so far, how many of them predict its class, and the largest lower bound that they gave."""

    hits: int = 0
    draws: int = 0
    low: float = 0.0


@dataclass(frozen=True)
class Decision:
    """Decides for each of ``radii`` whether a class is certified there, with at most ``n`` draws.

    A class is certified at radius r if its probability is at least Phi(r / sigma) (Cohen et al., arXiv 1902.02918).
    ``SHARE`` of ``alpha`` is for the sequence, which may certify at any time, and the rest for Clopper and Pearson's
    bound at all ``n`` draws, the last look. By the union bound, a radius is certified wrongly with probability at most
    alpha, whenever a clip stops. A radius is refused, which claims nothing, once the last look is unlikely to certify
    it, as predicted from the draws so far.
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

    def add(self, seen: Seen, hits: int, draws: int) -> None:
        """Add ``draws`` of which ``hits`` predict the class."""
        seen.hits, seen.draws = seen.hits + hits, seen.draws + draws
        low = lower(seen.hits, seen.draws, SHARE * self.alpha)
        seen.low = max(seen.low, low, self._last(seen.hits) if seen.draws >= self.n else 0.0)

    def is_over(self, seen: Seen) -> bool:
        """Whether each radius is certified or refused."""
        hits = seen.hits
        return all(seen.low >= p or hits >= least or self._is_hopeless(seen, least - hits) for p, least in self._least)

    def result(self, seen: Seen) -> tuple[float, float]:
        """The largest of the radii that is certified, 0 if none is, and the lower bound on the probability."""
        known = zip(self.radii, self._least, strict=True)
        certified = [(r, p) for r, (p, least) in known if seen.low >= p or seen.hits >= least]
        radius, p = certified[-1] if certified else (0.0, 0.0)
        return radius, max(p, seen.low)

    def _is_hopeless(self, seen: Seen, missing: int) -> bool:
        """Whether the remaining draws contain ``missing`` hits too rarely, by the normal approximation.

        Their hits have the beta-binomial distribution, given the draws so far and Jeffreys' prior.
        """
        rest, total = self.n - seen.draws, seen.draws + 1
        if not seen.draws or missing > rest:
            return missing > rest
        p = (seen.hits + 0.5) / total
        variance = rest * p * (1 - p) * (total + rest) / (total + 1)
        return missing - 0.5 - rest * p > HOPELESS * math.sqrt(variance)

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

"""Sequential tests of a probability, which decide given radii before all draws are made."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

SHARE = 0.5  # the share of alpha for the looks before the last
PRIOR = (1.0, 0.15)  # the mixture over the probability: most of it near 1, as the probabilities that are certified
HOPELESS = 2.05  # deviations: a radius is refused if its last look would succeed in 2 % of cases
TINY = 1e-18  # a probability that may be counted as an error


def early(p: float, draws: int, alpha: float) -> int:
    """The smallest number of hits in ``draws`` that shows a probability of at least ``p``; draws + 1 if none does.

    Statistical methods related to the law of the iterated logarithm (Robbins, 1970); Time-uniform, nonparametric,
    nonasymptotic confidence sequences (Howard et al., arXiv 1810.08240). The likelihood of the mixture, here Beta(1,
    0.15), divided by that of p is a martingale that begins at 1 if p is true, so by Ville's inequality the probability
    that it ever reaches 1 / alpha is at most alpha.
    """
    low, high = math.ceil(p * draws), draws + 1
    while low < high:  # bisection: above a share of p, the quotient grows with the hits
        hits = (low + high) // 2
        mixed = _log_beta(hits + PRIOR[0], draws - hits + PRIOR[1]) - _log_beta(*PRIOR)
        shown = mixed - hits * math.log(p) - (draws - hits) * math.log1p(-p) >= -math.log(alpha)
        low, high = (low, hits) if shown else (hits + 1, high)
    return low


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def thresholds(p: float, n: int, block: int, alpha: float) -> list[int]:
    """The numbers of hits that show a probability of at least ``p``, at each stage: after each block, and all n draws.

    The looks before the last have ``SHARE`` of alpha (``early``). The last look has the smallest number for which the
    probability of any error, computed exactly for p, is at most alpha; for a smaller probability it is smaller.
    """
    from scipy.stats import binom

    looks, found = [0, *range(block, n, block), n], list[int]()
    if p >= 1:
        return [draws + 1 for draws in looks[1:]]
    alive, first, errors = np.ones(1), 0, 0.0  # the probabilities of ``first``, first + 1, ... hits without an error
    for before, draws in pairwise(looks):
        alive = np.convolve(alive, binom.pmf(np.arange(draws - before + 1), draws - before, p))
        tails = alive[::-1].cumsum()[::-1]
        bound = early(p, draws, SHARE * alpha) if draws < n else first + int((errors + tails > alpha).sum())
        kept = max(bound - first, 0)
        errors, alive = errors + float(alive[kept:].sum()), alive[:kept]
        rare = int((alive.cumsum() < TINY).sum())  # counted as errors, so that n may be large
        errors, alive, first = errors + float(alive[:rare].sum()), alive[rare:], first + rare
        found.append(bound)
    return found


@dataclass
class Seen:
    """The draws of one clip so far, how many of them predict its class, and how many radii they certify."""

    hits: int = 0
    draws: int = 0
    certified: int = 0


@dataclass(frozen=True)
class Decision:
    """Decides for each of ``radii`` whether a class is certified there, with at most ``n`` draws in blocks.

    A class is certified at radius r if its probability is at least Phi(r / sigma) (Cohen et al., arXiv 1902.02918).
    Each radius has ``thresholds`` at level ``alpha``, which grow with the radius. A wrong radius is therefore certified
    only if the smallest wrong one is, with probability at most alpha, whenever a clip stops. A radius is refused, which
    claims nothing, once the last look is unlikely to certify it, as predicted from the draws so far.
    """

    radii: Sequence[float]
    sigma: float
    n: int
    alpha: float
    block: int
    _least: list[tuple[float, list[int]]] = field(init=False, repr=False)  # of each radius: probability, thresholds

    def __post_init__(self) -> None:
        from scipy.stats import norm

        found, before = list[tuple[float, list[int]]](), [0] * -(-self.n // self.block)
        for radius in self.radii:
            p = float(norm.cdf(radius / self.sigma))
            least = thresholds(p, self.n, self.block, self.alpha)
            before = [max(pair) for pair in zip(before, least, strict=True)]
            found.append((p, before))
        object.__setattr__(self, "_least", found)

    def add(self, seen: Seen, hits: int, draws: int) -> None:
        """Add a block of ``draws`` of which ``hits`` predict the class."""
        seen.hits, seen.draws = seen.hits + hits, seen.draws + draws
        look = -(-seen.draws // self.block) - 1
        for _, least in self._least[seen.certified :]:
            if seen.hits < min(least[look], least[-1]):  # at the last number, the last look is sure to certify
                break
            seen.certified += 1

    def is_over(self, seen: Seen) -> bool:
        """Whether each radius is certified or refused."""
        return all(self._is_hopeless(seen, least[-1] - seen.hits) for _, least in self._least[seen.certified :])

    def result(self, seen: Seen) -> tuple[float, float]:
        """The largest of the radii that is certified, 0 if none is, and the probability that this shows."""
        place = seen.certified - 1
        return (self.radii[place], self._least[place][0]) if seen.certified else (0.0, 0.0)

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

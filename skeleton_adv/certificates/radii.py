"""Certified radii by randomized smoothing: the paper's form and Cohen et al.'s."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

ABSTAIN = -1


@dataclass(frozen=True)
class Certificate:
    """The certificate of one clip: within ``radius``, the smoothed victim predicts ``pred``."""

    pred: int  # ABSTAIN if nothing is certified
    radius: float  # l2 over the coordinates of existing joints, in the clips' unit; 0 if abstained
    p_low: float  # lower bound on the probability of ``pred`` under noise


def cohen(selection: Tensor, estimation: Tensor, sigma: float, alpha: float, lost: int = 0) -> Certificate:
    """Certified Adversarial Robustness via Randomized Smoothing (Cohen et al., arXiv 1902.02918), CERTIFY.

    ``selection`` and ``estimation`` are counts (K,) of classes under independent draws: the first
    choose the class, the second bound its probability by Clopper and Pearson's one-sided interval at
    ``alpha``. ``lost`` is the number of estimation draws that have no class, because their logits are not
    finite; they count against the chosen class. The certificate is correct with probability at least 1 - alpha.
    """
    from scipy.stats import norm

    pred, draws = int(selection.argmax()), int(estimation.sum()) + lost
    p_low = clopper_pearson(int(estimation[pred]), draws, alpha)
    if p_low <= 0.5:
        return Certificate(ABSTAIN, 0.0, p_low)
    return Certificate(pred, sigma * float(norm.ppf(p_low)), p_low)


def zheng(counts: Tensor, sigma: float, alpha: float, lost: int = 0) -> Certificate:
    """Towards Understanding the Adversarial Vulnerability of Skeleton-based Action Recognition
    (Zheng et al., arXiv 2005.07151), Algorithm 3: sigma / 2 (Phi^-1(p_A) - Phi^-1(p_B)).

    p_A and p_B bound the first and the second class of the same ``counts`` (K,) by Goodman's
    simultaneous intervals at ``alpha`` over all classes. The intervals are asymptotic: with 60 classes and few
    counts per class, nominal 95 % intervals cover 80 to 87 % (simulated in ``tests/certificates``). The result is
    therefore the paper's number, not a proof. The radius is at least 0. ``lost`` is the number of draws that have
    no class, because their logits are not finite. They count as an additional class, which may come second; if
    it comes first, the certificate abstains, which it does in no other case.
    """
    from scipy.stats import norm

    first, second = counts.topk(2).indices.tolist()
    if lost >= int(counts[first]):
        return Certificate(ABSTAIN, 0.0, 0.0)
    if lost:
        second = second if int(counts[second]) > lost else len(counts)
        counts = torch.cat([counts, counts.new_tensor([lost])])
    low, high = goodman(counts, alpha)
    radius = sigma / 2 * float(norm.ppf(low[first]) - norm.ppf(high[second]))
    return Certificate(first, max(radius, 0.0), float(low[first]))


def clopper_pearson(hits: int, draws: int, alpha: float) -> float:
    """The one-sided lower bound on a probability at confidence 1 - alpha (Clopper and Pearson, 1934)."""
    from scipy.stats import beta  # imported here, because it takes a second

    return float(beta.ppf(alpha, hits, draws - hits + 1)) if hits else 0.0


def goodman(counts: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Simultaneous intervals for multinomial proportions: (K,) lower and (K,) upper ends (Goodman, 1965)."""
    from scipy.stats import chi2

    total, n = float(counts.sum()), counts.double()
    quantile = float(chi2.ppf(1 - alpha / len(counts), 1))
    half = (quantile * (quantile + 4 * n * (total - n) / total)).sqrt()
    return (quantile + 2 * n - half) / (2 * (total + quantile)), (quantile + 2 * n + half) / (2 * (total + quantile))


def least_draws(alpha: float) -> int:
    """The smallest number of draws n that can certify a clip, if all agree: alpha^(1/n) must exceed 1/2."""
    return math.floor(math.log2(1 / alpha)) + 1

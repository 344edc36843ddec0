"""The smoothed victim: how an attack sees it, and how it predicts."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.certificates.radii import ABSTAIN
from skeleton_adv.certificates.space import Space
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.noise import normal


class MeanSoftmax(nn.Module):
    """The log of the mean softmax of a network over ``draws`` of smoothing noise, as logits (N, K).

    The smoothed victim counts votes, which have no gradient. Their mean is estimated by that of the softmax, on which
    an adaptive attack descends: Provably Robust Deep Learning via Adversarially Trained Smoothed Classifiers (Salman et
    al., arXiv 1906.04584), Eq. 6. Each call has fresh noise of ``sigma`` on the parameters of ``space``.
    """

    randomised = True
    log_probabilities = True

    def __init__(self, network: nn.Module, *, space: Space, sigma: float, draws: int) -> None:
        super().__init__()
        self.network, self.space, self.sigma, self.draws = network, space, sigma, draws

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        one, many = _batch(x, context, 1), _batch(x, context, self.draws)
        like, purpose = self.space.parameters(one), f"noise {context.purpose}"
        first = context.draw * self.draws
        numbers = range(first, first + self.draws)
        noise = torch.cat([normal(like, context.index, context.seed, purpose, number) for number in numbers])
        repeated = replace(context, mask=many.mask, movable=many.movable, index=many.index)
        logits = self.network(self.space.moved(many, self.sigma * noise), repeated)
        logs = F.log_softmax(logits, dim=1).view(self.draws, len(x), -1)
        return logs.logsumexp(dim=0) - torch.tensor(float(self.draws)).log().to(logs)


def predict(counts: Tensor, alpha: float) -> int:
    """The class that the smoothed victim predicts, or ``ABSTAIN``: Cohen et al. (arXiv 1902.02918), PREDICT.

    ``counts`` (K + 1,) are of draws by class; the last are those without a class, which compete with the others. The
    class is that of most draws, unless the two-sided test of whether it is as frequent as the second has a p-value
    above ``alpha``. The prediction is that of the smoothed victim with probability at least 1 - alpha.
    """
    from scipy.stats import binomtest  # imported here, because it takes a second

    (first, second), (best, _) = (part.tolist() for part in counts.topk(2))
    if best == len(counts) - 1 or binomtest(first, first + second, 0.5).pvalue > alpha:
        return ABSTAIN
    return int(best)


def _batch(x: Tensor, context: Context, times: int) -> SkeletonBatch:
    """The clips, ``times`` times in a row; labels and times do not matter."""
    n = times * len(x)
    zeros = torch.zeros(n, dtype=torch.long, device=x.device)
    rows = (times, 1, 1, 1, 1)
    index = context.index.repeat(times)
    return SkeletonBatch(x.repeat(rows), zeros, context.mask.repeat(rows), index, zeros.to(x), context.skeleton)

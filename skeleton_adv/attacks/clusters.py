"""Centres of clusters of points, by k-means."""

import torch
from torch import Tensor

ROUNDS = 300  # the most steps of a start


def k_means(points: Tensor, count: int, seed: int, starts: int = 10) -> Tensor:
    """(count, F) the centres of ``points`` (n, F) with the smallest sum of squared distances over several starts.

    Each start draws its centres as in k-means++ (Arthur and Vassilvitskii, SODA 2007) and follows Lloyd's steps until
    no point changes its cluster. Computed in float64 on the CPU, so that the device does not change the result.
    """
    data = points.detach().double().cpu()
    rng = torch.Generator().manual_seed(seed)
    found = [_settled(data, _spread(data, count, rng)) for _ in range(starts)]
    best = min(range(starts), key=lambda start: float(_squares(data, found[start]).amin(dim=1).sum()))
    return found[best].to(points)


def _spread(points: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """(count, F) points, each drawn with a probability proportional to its squared distance to those before."""
    chosen = [int(torch.randint(len(points), (1,), generator=rng))]
    far = _squares(points, points[chosen])[:, 0]
    while len(chosen) < count:
        chance = far if bool(far.sum() > 0) else torch.ones_like(far)  # fewer different points than centres
        chosen.append(int(torch.multinomial(chance, 1, generator=rng)))
        far = torch.minimum(far, _squares(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _settled(points: Tensor, centres: Tensor) -> Tensor:
    """The centres after Lloyd's steps; a centre without points moves to the point that is farthest from its own."""
    before = None
    for _ in range(ROUNDS):
        squares = _squares(points, centres)
        nearest, own = squares.argmin(dim=1), squares.amin(dim=1)
        if before is not None and torch.equal(nearest, before):
            break
        before = nearest
        sizes = torch.bincount(nearest, minlength=len(centres)).double()
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        empty = sizes == 0
        centres = torch.where(empty[:, None], centres, sums / sizes.clamp(min=1)[:, None])
        centres[empty] = points[own.argsort(descending=True)[: int(empty.sum())]]
    return centres


def _squares(points: Tensor, centres: Tensor) -> Tensor:
    """(n, k) squared distances."""
    return torch.cdist(points, centres, compute_mode="donot_use_mm_for_euclid_dist").square()

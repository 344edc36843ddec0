"""Distances of features to one representative per class."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_adv.core.geometry import pairwise

Representative = Literal["centroid", "medoid"]
Distance = Literal["l2", "cosine"]
_TINY = 1e-6  # the smallest l2 distance; below it, the gradient is 0


def distances(features: Tensor, others: Tensor, distance: Distance) -> Tensor:
    """(N, K) distances of features (N, D) to ``others`` (K, D): l2, or 1 minus the cosine; gradients flow."""
    if distance == "cosine":
        return 1 - F.normalize(features, dim=1) @ F.normalize(others, dim=1).T
    return pairwise(features, others).clamp(min=_TINY)


def representatives(features: Tensor, labels: Tensor, kind: Representative, distance: Distance) -> Tensor:
    """(K, D) one representative for each class that occurs, in the order of the classes.

    ``centroid``: the mean of its features (n, D). ``medoid``: that of its clips with the least sum of distances to the
    others (Massoli et al., arXiv 1912.02918, Sec. 4).
    """
    found = []
    for label in sorted({*labels.tolist()}):
        own = features[labels == label]
        if kind == "centroid":
            found.append(own.mean(dim=0))
        else:
            found.append(own[distances(own, own, distance).sum(dim=1).argmin()])
    return torch.stack(found)

"""Detectors that see no adversarial clip: nearest neighbours, Gaussians per class, and the margin of the logits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_adv.core.geometry import length
from skeleton_adv.core.ranges import Count, Fraction, check_call
from skeleton_adv.detectors import Examples, Score
from skeleton_adv.detectors.distances import distances
from skeleton_adv.models.deep import Deep


@dataclass(frozen=True)
class NearestNeighbours:
    """Out-of-Distribution Detection with Deep Nearest Neighbors (Sun et al., arXiv 2204.06507).

    The score is the l2 distance to the ``k``-th nearest training clip, between unit vectors of the last stage.
    """

    supervised: ClassVar[bool] = False

    k: Count = 5

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "detector.")

    def fit(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """The unit vectors (n, D) of the training clips."""
        return {"features": F.normalize(examples.training.stages[-1], dim=1)}

    def scorer(self, fitted: Mapping[str, Tensor]) -> Score:
        """The distance to the k-th nearest training clip, or to the furthest if there are fewer."""
        features = fitted["features"]
        k = min(self.k, len(features))

        def score(deep: Deep) -> Tensor:
            own = F.normalize(deep.stages[-1], dim=1)
            with torch.no_grad():  # the gradient is that of one distance per clip
                nearest = distances(own, features, "l2").topk(k, dim=1, largest=False).indices[:, -1]
            return length(own - features[nearest])

        return score


@dataclass(frozen=True)
class Mahalanobis:
    """A Simple Unified Framework for Detecting Out-of-Distribution Samples and Adversarial Attacks (arXiv 1807.03888).

    Lee et al.: classes are Gaussians with one covariance; the score is the squared Mahalanobis distance of the last
    stage to the nearest class. ``shrinkage``: the fraction of the covariance that is replaced by a multiple of the
    identity with the same trace, because there may be fewer clips than features. The paper's preprocessing of the
    input and its regression over layers are left out.
    """

    supervised: ClassVar[bool] = False

    shrinkage: Fraction = 0.1

    def __post_init__(self) -> None:
        check_call(type(self), vars(self), "detector.")

    def fit(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """The means (K, D) of the classes that occur, and a matrix (D, D) that whitens the features."""
        x, labels = examples.training.stages[-1].double(), examples.labels
        centres = torch.stack([x[labels == label].mean(dim=0) for label in sorted({*labels.tolist()})])
        centred = torch.cat([x[labels == label] - x[labels == label].mean(dim=0) for label in {*labels.tolist()}])
        covariance = centred.T @ centred / len(x)
        size = covariance.diagonal().mean().clamp(min=1e-12)
        identity = torch.eye(len(covariance), dtype=x.dtype, device=x.device)
        covariance = (1 - self.shrinkage) * covariance + self.shrinkage * size * identity
        lower = torch.linalg.cholesky(covariance)
        whiten = torch.linalg.solve_triangular(lower, identity, upper=False).T
        return {"means": (centres @ whiten).float(), "whiten": whiten.float()}

    def scorer(self, fitted: Mapping[str, Tensor]) -> Score:
        """The squared Mahalanobis distance to the nearest class."""
        centres, whiten = fitted["means"], fitted["whiten"]

        def score(deep: Deep) -> Tensor:
            return distances(deep.stages[-1] @ whiten, centres, "l2").square().amin(dim=1)

        return score


@dataclass(frozen=True)
class LogitMargin:
    """A baseline without features: minus the margin between the two largest logits."""

    supervised: ClassVar[bool] = False

    def fit(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """Nothing is fitted; the file contains the number of training clips."""
        return {"clips": torch.tensor([len(examples.training)])}

    def scorer(self, fitted: Mapping[str, Tensor]) -> Score:
        """The second largest logit minus the largest."""

        def score(deep: Deep) -> Tensor:
            first, second = deep.logits.topk(2, dim=1).values.unbind(dim=1)
            return second - first

        return score

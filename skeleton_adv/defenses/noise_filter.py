"""The defense of Zheng et al.: Gaussian noise, a temporal filter, and the mean over many draws."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import Context
from skeleton_adv.core.noise import normal
from skeleton_adv.core.ranges import Count, NonNegative, checked

# Weights of Gaussian filters in the authors' released code, from the first frame to the last.
TAPS = {
    5: (0.06136, 0.24477, 0.38774, 0.24477, 0.06136),
    7: (0.006, 0.061, 0.242, 0.383, 0.242, 0.061, 0.006),
}


class NoiseFilter(nn.Module):
    """Towards Understanding the Adversarial Vulnerability of Skeleton-based Action Recognition
    (Zheng et al., arXiv 2005.07151), Algorithm 2.

    The logits are the mean over ``draws`` draws. Each draw adds Gaussian noise of ``sigma`` metres to every
    existing joint and then filters over time. An adaptive attack averages over ``eot`` fresh draws
    instead (expectation over transformation, Athalye et al., arXiv 1707.07397). Differs from the released code,
    whose filter of 5 taps lags by one frame: this filter is centred, repeats the frames at both ends, and skips
    frames that do not exist.
    """

    weights: Tensor | None
    OFF: ClassVar[Mapping[str, Any]] = {"sigma": 0.0, "taps": None}  # with these settings, the defense changes nothing
    OPTIONS = ("noise_filter", "noise", "temporal_filter")

    @staticmethod
    def named(sigma: float, taps: int | None) -> str:
        """The name of the option that has these values."""
        if sigma > 0:
            return "noise" if taps is None else "noise_filter"
        return "none" if taps is None else "temporal_filter"

    @checked
    def __init__(
        self,
        network: nn.Module,
        *,
        sigma: NonNegative = 0.01,
        taps: Literal[5, 7] | None = 5,
        draws: Count = 50,
        eot: Count = 8,
    ) -> None:
        super().__init__()
        self.network, self.sigma, self.draws, self.eot = network, sigma, draws, eot
        self.randomised = sigma > 0
        weights = torch.tensor(TAPS[taps]) / sum(TAPS[taps]) if taps else None
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        draws = (self.eot if context.purpose == "attack" else self.draws) if self.sigma else 1
        numbers = range(context.draw * draws, (context.draw + 1) * draws)
        logits = [self.network(self._defended(x, context, number), context) for number in numbers]
        return torch.stack(logits).mean(dim=0)

    def _defended(self, x: Tensor, context: Context, draw: int) -> Tensor:
        """x (N, C, T, V, M) with the noise of one draw, filtered over time."""
        if self.sigma:
            noise = normal(x, context.index, context.seed, f"noise {context.purpose}", draw)
            x = x + self.sigma * torch.where(context.movable, noise, 0)
        if self.weights is None:
            return x
        return torch.where(context.movable, smooth(x, context.mask, self.weights), x)


def smooth(x: Tensor, mask: Tensor, weights: Tensor) -> Tensor:
    """x (N, C, T, V, M) filtered over time with centred ``weights`` (K,); the frames at both ends are repeated.

    A frame that does not exist in ``mask`` (N, 1, T, V, M) has weight 0, and the other weights are scaled to
    sum to 1 (normalised convolution).
    """
    present = mask.to(x.dtype)
    # A product with a matrix, because gathering frames has no deterministic gradient on a GPU.
    matrix = _matrix(x.shape[2], weights).to(x.dtype)
    total = torch.einsum("nctvm,ts->ncsvm", x * present, matrix)
    return total / torch.einsum("nctvm,ts->ncsvm", present, matrix).clamp(min=1e-12)


def _matrix(num_frames: int, weights: Tensor) -> Tensor:
    """(T, T): the weight of each frame in each filtered frame."""
    frames = torch.arange(num_frames, device=weights.device)
    matrix = torch.zeros(num_frames, num_frames, device=weights.device, dtype=weights.dtype)
    for tap, weight in enumerate(weights):
        source = (frames + tap - len(weights) // 2).clamp(0, num_frames - 1)
        matrix += weight * (source[None] == frames[:, None])
    return matrix

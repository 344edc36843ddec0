"""Networks with a posterior over weights: small networks appended to the logits, or a variance for each weight.

The names of the entries in a file of weights show which of them it describes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from skeleton_adv.core.noise import normal
from skeleton_adv.models.stages import Stages, channel_axis_of, layers_of, within

LEAST = 1e-30  # variance, as in the released code of TASAR


class Heads(nn.Module):
    """Residual networks on rectified logits r (N, C): ``r + relu(W2 (W1 r + b1) + b2)``, several at once.

    TASAR (Diao et al., arXiv 2409.02483) and BEAT (Wang et al., arXiv 2203.04713) append them to a trained network.
    The first dimension of the parameters is the copy, (copies, C, C) and (copies, 1, C); they are initialised as those
    of ``nn.Linear``.
    """

    def __init__(self, copies: int, classes: int) -> None:
        super().__init__()
        bound = classes**-0.5

        def drawn(rows: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(copies, rows, classes).uniform_(-bound, bound))

        self.first, self.first_bias, self.second, self.second_bias = (drawn(rows) for rows in (classes, 1) * 2)

    def forward(self, logits: Tensor, weights: Iterable[Tensor] | None = None) -> Tensor:
        """(copies, N, C) logits; ``weights`` replace the parameters, in their order, with any number of copies."""
        first, first_bias, second, second_bias = weights or self.parameters()
        r = logits.relu().expand(len(first), -1, -1)
        return r + torch.baddbmm(second_bias, torch.baddbmm(first_bias, r, first), second).relu()


class Appended(nn.Module):
    """A frozen network with ``Heads`` on its logits; its own logits are the mean of those of the heads.

    ``appended`` are the heads, at the mean of their posterior, and ``spread`` the variances.
    """

    def __init__(self, backbone: nn.Module, copies: int, classes: int) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False)
        self.appended = Heads(copies, classes)
        self.spread = Spread(self.appended)
        self.logits = nn.Identity()  # names the mean

    @property
    def layers(self) -> Mapping[str, bool]:
        """The layers of the network, and the mean of the heads."""
        own = layers_of(self.backbone)
        return {**{f"backbone.{name}": by_person for name, by_person in own.items()}, "logits": False}

    @property
    def feature_stages(self) -> Stages:
        """The stages of the network."""
        return within("backbone", self.backbone)

    @property
    def channel_axis(self) -> int:
        """That of the network."""
        return channel_axis_of(self.backbone)

    def train(self, mode: bool = True) -> "Appended":
        """The heads in training mode; the frozen network stays in evaluation mode."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, *inputs: Tensor) -> Tensor:
        mean: Tensor = self.logits(self.appended(self.backbone(*inputs)).mean(dim=0))
        return mean

    def sampled(self, inputs: tuple[Tensor, ...], draws: int, scale: float, stream: tuple[int, str, int]) -> Tensor:
        """(draws * copies, N, C) logits of heads drawn from the posterior, with one pass through the network."""
        drawn = self.spread.drawn(self.appended, draws, scale, *stream)
        logits: Tensor = self.appended(self.backbone(*inputs), [weight.flatten(0, 1) for weight in drawn.values()])
        return logits


class Spread(nn.Module):
    """The variance of each weight of a network in a Gaussian posterior with independent weights; 0 at first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        for name, weight in network.named_parameters():
            self.register_buffer(name.replace(".", "/"), torch.zeros_like(weight))

    def drawn(
        self, network: nn.Module, draws: int, scale: float, seed: int, purpose: str, draw: int
    ) -> dict[str, Tensor]:
        """Weights (draws, ...) by name: those of ``network``, plus ``scale`` standard deviations of normal noise.

        Noise depends on (seed, purpose, draw) alone, so all clips see the same networks.
        """
        found = {}
        for name, mean in network.named_parameters():
            deviation = self.get_buffer(name.replace(".", "/")).clamp(min=LEAST).sqrt()
            noise = normal(
                mean.expand(draws, *mean.shape), torch.arange(draws), seed, f"posterior {purpose} {name}", draw
            )
            found[name] = mean + scale * deviation * noise
        return found


def with_spread(network: nn.Module) -> nn.Module:
    """The network with a ``spread`` of all its weights."""
    network.add_module("spread", Spread(network))
    return network


def has_posterior(model: nn.Module) -> bool:
    """Whether networks can be drawn from a posterior around this one."""
    return isinstance(getattr(model, "spread", None), Spread)


def sampled(
    model: nn.Module, inputs: tuple[Tensor, ...], draws: int, scale: float, stream: tuple[int, str, int]
) -> Tensor:
    """(H, N, C) logits of networks drawn from a model's posterior; ``stream``: seed, purpose and draw of their noise.

    Heads that are appended take one pass for all draws, other networks one pass per draw.
    """
    if isinstance(model, Appended):
        return model.sampled(inputs, draws, scale, stream)
    spread: Any = model.spread
    weights = spread.drawn(model, draws, scale, *stream)
    one_by_one = ({name: value[k] for name, value in weights.items()} for k in range(draws))
    return torch.stack([torch.func.functional_call(model, own, inputs) for own in one_by_one])


def passes(model: nn.Module, draws: int) -> int:
    """How many passes over the clips a call of ``sampled`` takes."""
    return 1 if isinstance(model, Appended) else draws


def described(weights: Mapping[str, Tensor], model: nn.Module) -> nn.Module | None:
    """The model with the parts that post-training has added, as its weights show; None if it has added none."""
    heads = weights.get("appended.first")
    if heads is not None:
        return Appended(model, heads.shape[0], heads.shape[-1])
    return with_spread(model) if any(key.startswith("spread.") for key in weights) else None

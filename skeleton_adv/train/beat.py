"""BEAT: an energy-based post-training of small networks that are appended to a frozen recogniser."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import bone_lengths
from skeleton_adv.core.ranges import Count, NonNegative, Positive, Probability
from skeleton_adv.data.clips import Dataset
from skeleton_adv.models.network import Network
from skeleton_adv.train.appended import AppendedTraining, appended, by_copy
from skeleton_adv.train.inner import Objective
from skeleton_adv.train.moments import keep_moments
from skeleton_adv.train.recipe import Recipe


@dataclass(frozen=True)
class BEAT(AppendedTraining):
    """Defending Black-box Skeleton-based Human Activity Classifiers (Wang et al., arXiv 2203.04713), and its code.

    The loss of the appended networks is ``CE(x) - energy (f(x) - f(x_chain)) + neighbour CE(x~)``, where f is the log
    of the unnormalised density of clips. ``x_chain`` are samples of that density by Langevin dynamics (SGLD), and x~
    are neighbours of x that Langevin dynamics has moved to where their label is more probable and bones and motion are
    those of x. So x~ are no adversarial clips, and BEAT is no adversarial training.

    - ``energy``, ``neighbour``: weights of the terms; ``motion``: weight of a squared metre of x~ (bones and the
      first three differences over time)
    - ``perturb``: of x~ at its start, metres; ``span``: chains start uniformly in this distance from the mean clip of
      the batch, metres
    - ``sgld_steps``; ``sgld_rate``: square metres per unit of f; ``sgld_noise``: standard deviation per step, metres
    - ``chains``: how many are kept for later batches; ``restart``: the fraction that restarts
    - ``density``: ``logsumexp`` of the logits, or ``mean`` in the loss, as in the released code
    - ``persistent``: whether chains are kept; the released buffer is created empty and never filled
    - other settings: see ``AppendedTraining``

    The released constants are for standardised clips; a standard deviation is taken to be 0.25 m. Differs from the
    released code by the two switches ``density`` and ``persistent``, by ``sampler`` and by the last epoch, not the
    best on the test clips; the deployed network is the mean of the heads, which does not change the classes of their
    sum.
    """

    epochs: Count = 20
    copies: Count = 5
    energy: NonNegative = 0.3
    neighbour: NonNegative = 0.1
    motion: NonNegative = 0.016
    perturb: NonNegative = 0.0125
    span: Positive = 0.25
    sgld_steps: Count = 10
    sgld_rate: Positive = 0.003
    sgld_noise: NonNegative = 0.0004
    chains: Count = 100
    restart: Probability = 0.05
    density: Literal["logsumexp", "mean"] = "logsumexp"
    persistent: bool = True
    name = "beat"

    def start(self, network: nn.Module, dataset: Dataset, clips: int) -> "Chains":
        assert isinstance(network, Network)
        shape = dataset.skeleton.channels, dataset.num_frames, dataset.skeleton.num_joints, dataset.num_persons
        return Chains(network, self.chains if self.persistent else 0, shape)

    def finish(self, trained: nn.Module, optimiser: torch.optim.Optimizer) -> nn.Module:
        network = _chains_of(trained).network
        keep_moments(appended(network).appended, appended(network).spread, optimiser)
        return network

    def optimiser(self, model: nn.Module, recipe: Recipe, clips: int) -> torch.optim.Optimizer:
        return self.sampler_of(appended(_chains_of(model).network).appended, recipe, clips)

    def loss(self, model: nn.Module, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head = appended(_chains_of(model).network).appended
        return self.by_head(head, self.logits(_chains_of(model), batch), batch.y).mean()

    def step(self, model: nn.Module, optimiser: torch.optim.Optimizer, batch: SkeletonBatch, recipe: Recipe) -> Tensor:
        head = appended(_chains_of(model).network).appended
        logits = self.logits(_chains_of(model), batch)
        weights = [*head.parameters()]

        def gradients() -> Sequence[Tensor]:
            return torch.autograd.grad(self.by_head(head, logits, batch.y).sum(), weights)

        self.sample(optimiser, weights, gradients)
        with torch.no_grad():
            return self.by_head(head, logits, batch.y).mean()

    def by_head(self, head: nn.Module, logits: Sequence[Tensor], y: Tensor) -> Tensor:
        """(K,) the loss of each head, for the frozen logits (N, C) of the clips, the chains and the neighbours."""
        own, chain, near = (head(one) for one in logits)
        loss = by_copy(own, y) - self.energy * (self._density(own) - self._density(chain)).mean(dim=1)
        return loss + self.neighbour * by_copy(near, y)

    def logits(self, model: "Chains", batch: SkeletonBatch) -> tuple[Tensor, Tensor, Tensor]:
        """The frozen logits (N, C) of the clips, of chains after their steps, and of neighbours."""
        clips = batch.x, self.chained(model, batch), self.neighbours(model.network, batch)
        backbone, prepared = appended(model.network).backbone, model.network.prepared
        with torch.no_grad():
            first, second, third = (backbone(*prepared(x)) for x in clips)
        return first, second, third

    def chained(self, model: "Chains", batch: SkeletonBatch) -> Tensor:
        """Chains (N, C, T, V, M) with the masks of the batch, after their steps towards probable clips."""
        weight = batch.mask.to(batch.x.dtype)
        mean = (batch.x * weight).sum(dim=(0, 2), keepdim=True) / weight.sum(dim=(0, 2), keepdim=True).clamp(min=1)
        start = mean + self.span * (2 * torch.rand_like(batch.x) - 1)
        x, slots = model.taken(start, self.restart)
        x = torch.where(batch.movable, x, batch.x)
        x = self._langevin(lambda moved: torch.logsumexp(model.network(moved), dim=1), x, batch)
        model.keep(x, slots)
        return x

    def neighbours(self, network: nn.Module, batch: SkeletonBatch) -> Tensor:
        """Neighbours (N, C, T, V, M) of the clips that keep label, bones and motion."""
        start = batch.x + self.perturb * (2 * torch.rand_like(batch.x) - 1) * batch.movable

        def probable(x: Tensor) -> Tensor:
            return -F.cross_entropy(network(x), batch.y, reduction="none") - self.motion * moved(x, batch)

        return self._langevin(probable, start, batch)

    def _langevin(self, density: Objective, x: Tensor, batch: SkeletonBatch) -> Tensor:
        for _ in range(self.sgld_steps):
            with torch.enable_grad():
                x = x.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(density(x).sum(), x)
            drift = self.sgld_rate * gradient + self.sgld_noise * torch.randn_like(x)
            x = x.detach() + torch.where(batch.movable, drift, 0)
        return x

    def _density(self, logits: Tensor) -> Tensor:
        return logits.mean(dim=-1) if self.density == "mean" else torch.logsumexp(logits, dim=-1)


class Chains(nn.Module):
    """The network of ``BEAT`` and its Langevin chains; a training's state contains both."""

    x: Tensor  # (chains, C, T, V, M), metres
    begun: Tensor  # (chains,) bool

    def __init__(self, network: Network, chains: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("x", torch.zeros(chains, *shape))
        self.register_buffer("begun", torch.zeros(chains, dtype=torch.bool))

    def taken(self, start: Tensor, restart: float) -> tuple[Tensor, Tensor]:
        """Chains (N, C, T, V, M), those of ``start`` where none has begun or one restarts, and their numbers."""
        slots = torch.randperm(len(self.x))[: len(start)].to(start.device)
        goes_on = self.begun[slots] & (torch.rand(len(slots)).to(start.device) >= restart)
        found = torch.where(goes_on.view(-1, 1, 1, 1, 1), self.x[slots], start[: len(slots)])
        return torch.cat([found, start[len(slots) :]]), slots

    def keep(self, x: Tensor, slots: Tensor) -> None:
        """Keep the chains of these numbers."""
        self.x[slots] = x[: len(slots)].detach()
        self.begun[slots] = True

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        return logits


def moved(x: Tensor, batch: SkeletonBatch) -> Tensor:
    """(N,) mean squares, in square metres, of the changes of bone lengths and of the first three time differences."""
    bones = bone_lengths(x, batch.skeleton) - bone_lengths(batch.x, batch.skeleton)
    total, change = bones.square().flatten(1).mean(dim=1), x - batch.x
    for _ in range(3):
        change = change.diff(dim=2)
        total = total + change.square().flatten(1).mean(dim=1)
    return total


def _chains_of(model: nn.Module) -> Chains:
    assert isinstance(model, Chains)
    return model

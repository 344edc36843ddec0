"""Input filtering: a small network that removes noise, fitted on training clips."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.noise import normal
from skeleton_adv.core.pool import Model, Pool, Tensors, View
from skeleton_adv.core.ranges import Count, Positive, Whole, checked
from skeleton_adv.models.denoiser import TemporalDenoiser

KEPT = 50  # steps between states of an unfinished fit
MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # of Adam


class Denoiser(nn.Module):
    """Denoised Smoothing: A Provable Defense for Pretrained Classifiers (Salman et al., arXiv 2003.01908).

    A small network removes noise from the clip before the victim, which is not trained for this. It is fitted once, on
    training clips with Gaussian noise, and found again by its settings. At inference it draws no noise, so an adaptive
    attack has the exact gradient; a certificate smooths the denoiser and the victim as one network.

    - ``sigma``: standard deviation of the noise, metres (joints in an image: fractions of it)
    - ``objective``: ``mse``: the squared distance from the clip without noise, for any victim; ``stability``: the
      cross-entropy of this victim for the class that it predicts without noise (section 3 of the paper)
    - ``width``: channels of the network; ``steps``: of Adam, on ``clips`` clips each; ``lr``: falls to 0 along a cosine
    - ``seed``: of the first weights, the order of the clips and the noise
    - ``fitted``: the tensors of ``fit``

    Differs from the paper: the denoiser is one for skeletons (``models.denoiser``). Raises ``SettingError`` if it is
    called without ``fitted``.
    """

    OFF: ClassVar[Mapping[str, Any]] = {"steps": 0}  # with these settings, the defense changes nothing

    @checked
    def __init__(
        self,
        network: nn.Module,
        *,
        fitted: Tensors | None = None,
        sigma: Positive = 0.02,
        objective: Literal["mse", "stability"] = "mse",
        width: Count = 64,
        steps: Whole = 1000,
        clips: Count = 32,
        lr: Positive = 1e-3,
        seed: Whole = 0,
    ) -> None:
        super().__init__()
        self.network, self.sigma, self.objective, self.width = network, sigma, objective, width
        self.steps, self.clips, self.lr, self.seed = steps, clips, lr, seed
        self.denoiser = None if fitted is None else TemporalDenoiser.of(_weights(fitted))

    @property
    def fit_calls_network(self) -> bool:
        """Whether the fitted tensors depend on the network."""
        return self.objective == "stability"

    @property
    def removes(self) -> float:
        """The standard deviation of the noise that it was fitted to remove, which certificates compare with theirs."""
        return self.sigma

    def forward(self, x: Tensor, context: Context) -> Tensor:  # (N, C, T, V, M) -> (N, K)
        if self.denoiser is None:
            raise SettingError("defense=denoiser is not fitted: choose it by its name, or pass fitted=...")
        denoised = applied(self.denoiser, x, context, self.sigma)
        logits: Tensor = self.network(denoised, context)
        return logits

    def fit(self, view: View, pool: Pool, state: Tensors | None) -> Iterator[dict[str, Tensor]]:
        """The weights during the fit with the state of the optimiser, and in the end the weights alone (``Fit``)."""
        network, optimiser, done = self._resumed(pool.batch([0]), state)
        size = min(self.clips, len(pool))
        losses: list[Tensor] = []
        for step in range(done, self.steps):
            batch = pool.batch(_numbers(step, len(pool), size, self.seed))
            loss = self._loss(network, batch, step, view(batch, step + 1))
            for group in optimiser.param_groups:
                group["lr"] = self.lr * (1 + math.cos(math.pi * step / self.steps)) / 2
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
            if (step + 1) % KEPT == 0 and step + 1 < self.steps:
                yield _state(network, step + 1, optimiser)
        if state is None or done < self.steps:
            yield _state(network, self.steps)

    def _resumed(
        self, batch: SkeletonBatch, state: Tensors | None
    ) -> tuple[TemporalDenoiser, torch.optim.Optimizer, int]:
        """The network and its optimiser after the steps of ``state``, and their number."""
        if state is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.seed)
                network = TemporalDenoiser(len(batch.skeleton.coords), batch.skeleton.num_joints, self.width)
        else:
            network = TemporalDenoiser.of({name: value.clone() for name, value in _weights(state).items()})
        network = network.to(batch.x.device, batch.x.dtype).requires_grad_()
        optimiser = torch.optim.Adam(network.parameters(), self.lr)
        for name, weight in network.named_parameters():
            if state is not None and f"{MOMENTS[0]}.{name}" in state:
                optimiser.state[weight] = {moment: state[f"{moment}.{name}"].clone() for moment in MOMENTS}
        return network, optimiser, int(state["steps"]) if state else 0

    def _loss(self, network: TemporalDenoiser, batch: SkeletonBatch, step: int, model: Model) -> Tensor:
        """The objective on a batch with noise, mean over its clips."""
        noise = normal(batch.x, batch.index, self.seed, "denoiser", step)
        noisy = batch.x + self.sigma * torch.where(batch.movable, noise, 0)
        denoised = applied(network, noisy, batch, self.sigma)
        if self.objective == "mse":
            return errors(denoised, batch, self.sigma).mean()
        with torch.no_grad():
            predicted = model(batch.x).argmax(dim=1)
        return F.cross_entropy(model(denoised), predicted)


def applied(network: TemporalDenoiser, x: Tensor, context: SkeletonBatch | Context, sigma: float) -> Tensor:
    """Clips x (N, C, T, V, M) without noise; entries that noise may not change stay."""
    coords = list(context.skeleton.coords)
    if coords == list(range(x.shape[1])):
        return torch.where(context.movable, network(x, context.mask, sigma), x)
    denoised = dict(zip(coords, network(x[:, coords], context.mask, sigma).unbind(dim=1), strict=True))
    channels = [denoised.get(channel, x[:, channel]) for channel in range(x.shape[1])]
    return torch.where(context.movable, torch.stack(channels, dim=1), x)


def errors(x: Tensor, batch: SkeletonBatch, sigma: float) -> Tensor:
    """(N,) the mean squared distance of each clip's coordinates from ``batch``, in multiples of sigma squared."""
    off = torch.where(batch.movable, (x - batch.x) / sigma, 0).square()
    return off.flatten(1).sum(dim=1) / batch.movable.flatten(1).sum(dim=1).clamp(min=1)


def _numbers(step: int, count: int, size: int, seed: int) -> Sequence[int]:
    """The places of the clips of a step: each pass over all clips has its own order."""
    each = count // size
    order = torch.randperm(count, generator=torch.Generator().manual_seed(1_000_003 * seed + step // each))
    start = step % each * size
    numbers: list[int] = order[start : start + size].tolist()
    return numbers


def _state(network: nn.Module, steps: int, optimiser: torch.optim.Optimizer | None = None) -> dict[str, Tensor]:
    """The weights after these steps, with the moments of the optimiser unless the fit has ended."""
    found = {f"weight.{name}": value.detach().clone() for name, value in network.named_parameters()}
    for name, weight in network.named_parameters() if optimiser is not None else ():
        assert optimiser is not None
        found |= {f"{moment}.{name}": optimiser.state[weight][moment].clone() for moment in MOMENTS}
    return found | {"steps": torch.tensor(steps)}


def _weights(state: Tensors) -> dict[str, Tensor]:
    return {name.partition(".")[2]: value for name, value in state.items() if name.startswith("weight.")}

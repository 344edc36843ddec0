"""A sampler of the posterior over weights: stochastic gradient Hamiltonian Monte Carlo."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

TINY = 1e-30  # of a squared gradient


class SGHMC(torch.optim.Optimizer):
    """Scale-adapted stochastic gradient Hamiltonian Monte Carlo (Springenberg et al., NIPS 2016, Sec. 4), which samples
    exp(-U / ``temperature``) with ``U = clips * loss + |w|^2 / (2 prior^2)``.

    - the gradients of the weights are those of the mean ``loss`` per clip; ``clips`` is the number of training clips
    - ``lr``: the step size e; a step changes the velocity by ``-h dU``, with ``h = e^2 / sqrt(V)``
    - V: an average of squares of dU by weight, with a window that adapts during the first ``burn_in`` steps; V is
      then fixed, because a chain whose steps depend on its path has another distribution
    - ``friction`` a: the fraction of the velocity that is lost per step; the noise has the variance
      ``2 a h temperature``, less ``h^2 V`` if ``noisy``: gradients of batches already add noise, of variance V at most

    The variance of a weight w with curvature c, whose gradient is exact, is ``1 / c / (1 - h c / (4 - 2 a))``. Numbers
    come from torch's global generator. Differs from TASAR's released code (``ReleasedSampler``): velocity and V
    persist, and the noise is multiplied by the square root of its variance.
    """

    def __init__(
        self,
        weights: Iterable[Tensor],
        lr: float,
        *,
        clips: int = 1,
        prior: float = float("inf"),
        burn_in: int = 0,
        friction: float = 0.05,
        temperature: float = 1.0,
        noisy: bool = True,
    ) -> None:
        own: dict[str, Any] = {"clips": clips, "prior": prior, "burn_in": burn_in, "friction": friction}
        super().__init__(weights, {"lr": lr, **own, "temperature": temperature, "noisy": noisy})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every weight."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, group, self.state[weight])

    def _move(self, weight: Tensor, group: dict[str, Any], state: dict[str, Any]) -> None:
        gradient = group["clips"] * weight.grad + weight / group["prior"] ** 2
        if not state:
            state["taken"], state["velocity"] = 0, torch.zeros_like(weight)
            state["trend"], state["square"], state["window"] = (torch.ones_like(weight) for _ in range(3))
        if state["taken"] < group["burn_in"]:
            self._adapt(gradient, state)
        state["taken"] += 1
        h = group["lr"] ** 2 / (state["square"] + TINY).sqrt()
        variance = 2 * group["friction"] * h * group["temperature"]
        if group["noisy"]:
            variance = (variance - h.square() * state["square"]).clamp(min=0)
        state["velocity"].mul_(1 - group["friction"]).sub_(h * gradient)
        state["velocity"].add_(variance.sqrt() * torch.randn_like(weight))
        weight.add_(state["velocity"])

    def _adapt(self, gradient: Tensor, state: dict[str, Any]) -> None:
        """Update the averages of the gradient and of its square, and the window over which they are averaged."""
        rate = 1 / (state["window"] + 1)
        state["window"] += 1 - state["window"] * state["trend"].square() / (state["square"] + TINY)
        state["trend"] += rate * (gradient - state["trend"])
        state["square"] += rate * (gradient.square() - state["square"])


class ReleasedSampler(torch.optim.Optimizer):
    """``SGAdaHMC`` as TASAR's released code runs it: velocity and V are reset at every step.

    A step is ``-lr^2 g / sqrt(V)`` with ``V = (1e-5 + g^2) / 2``; the noise, multiplied by ``temperature`` and by its
    variance instead of the square root, is about 1e-7. So this descends the loss and does not sample.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, *, temperature: float = 1e-5) -> None:
        super().__init__(weights, {"lr": lr, "temperature": temperature})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every weight."""
        for group in self.param_groups:
            for weight in group["params"]:
                square = (1e-5 + weight.grad.square()) / 2
                variance = (2 * group["lr"] ** 3 / square - group["lr"] ** 4).clamp(min=0)
                weight -= group["lr"] ** 2 * weight.grad / square.sqrt()
                weight += group["temperature"] * variance * torch.randn_like(weight)

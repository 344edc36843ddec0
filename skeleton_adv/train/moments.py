"""Running means and variances of weights along a training, in the state of its optimiser."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def accumulate(optimiser: torch.optim.Optimizer) -> None:
    """Count the present weights of ``optimiser``, by the recurrence of Welford (Technometrics 4, 1962).

    Sums of squares, as in SWAG (Maddox et al., arXiv 1902.02476), would lose small variances to rounding. Every weight
    has its own count, so the copies of a network never share one.
    """
    for group in optimiser.param_groups:
        for weight in group["params"]:
            state = optimiser.state[weight]
            count = state.get("counted", 0) + 1
            mean, variance = (state.get(name, torch.zeros_like(weight)) for name in ("mean", "variance"))
            change = weight - mean
            mean = mean + change / count
            state["variance"] = variance + (change * (weight - mean) - variance) / count
            state["mean"], state["counted"] = mean, count


def moments(optimiser: torch.optim.Optimizer, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The mean and the variance of the values that ``accumulate`` has counted; the weight itself if there are none."""
    state = optimiser.state[weight]
    if "mean" not in state:
        return weight.detach().clone(), torch.zeros_like(weight)
    return state["mean"], state["variance"]


@torch.no_grad()
def keep_moments(network: nn.Module, spread: nn.Module, optimiser: torch.optim.Optimizer) -> None:
    """Set the weights of a network to their means, and its ``spread`` to their variances, along the training path."""
    for name, weight in network.named_parameters():
        mean, variance = moments(optimiser, weight)
        weight.copy_(mean)
        spread.get_buffer(name.replace(".", "/")).copy_(variance)

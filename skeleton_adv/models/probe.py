"""Checks of a network that this program has not seen before, made on a few clips before any attack."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError, UserError

CLIPS = 3  # in one pass
TOLERANCE = 1e-3  # of logits, relative to their largest: rounding depends on the shape of a batch


class Probed(NamedTuple):
    """What a few clips show of a network."""

    num_classes: int
    warnings: list[str]  # one sentence each


def probe(network: nn.Module, x: Tensor) -> Probed:
    """Try ``network`` on clips x (``CLIPS``, C, T, V, M).

    Raises ``SettingError`` if the network fails, returns anything but finite logits (N, K), depends on the other
    clips of a batch, or cannot be differentiated.
    """
    network.eval()
    logits = _logits(network, x)
    warnings = [] if torch.equal(logits, again := _logits(network, x)) else [_random(logits, again)]
    if not warnings:
        alone = torch.cat([_logits(network, x[i : i + 1]) for i in range(len(x))])
        if (alone - logits).abs().max() > TOLERANCE * logits.abs().max().clamp(min=1):
            raise SettingError(
                f"{_name(network)} gives a clip other logits when it is alone in a batch: it must treat the N clips "
                "independently (a batch normalisation in training mode, or a reshape across clips?)"
            )
    _check_gradient(network, x)
    sums = logits.sum(dim=1)
    if logits.shape[1] > 1 and bool((logits >= 0).all()) and bool(((sums - 1).abs() < 1e-3).all()):
        warnings.append(
            f"{_name(network)} returns probabilities: attacks and margins are defined on logits, and a softmax hides "
            "gradients, so that attacks look weaker than they are. Return what the softmax receives"
        )
    return Probed(logits.shape[1], warnings)


def _random(logits: Tensor, again: Tensor) -> str:
    changed = int((logits.argmax(dim=1) != again.argmax(dim=1)).sum())
    return (
        f"the network is random: two passes over the same clips differ (predictions of {changed} of {len(logits)}); "
        "each clip is judged once, so success may be chance"
    )


def _logits(network: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        logits = _called(network, x)
    if not logits.isfinite().all():
        raise SettingError(f"{_name(network)} returns logits that are not finite for ordinary clips: check its input")
    return logits


def _check_gradient(network: nn.Module, x: Tensor) -> None:
    x = x.clone().requires_grad_()
    logits = _called(network, x)
    if logits.requires_grad:
        (gradient,) = torch.autograd.grad(logits.sum(), x, allow_unused=True)
        if gradient is not None and gradient.isfinite().all():
            return
    raise SettingError(
        f"{_name(network)} has no gradient with respect to its clips: remove detach(), no_grad() and NumPy "
        "from its path (rounding to whole numbers also cuts gradients)"
    )


def _called(network: nn.Module, x: Tensor) -> Tensor:
    try:
        logits: Tensor = network(x)
    except UserError:
        raise
    except Exception as error:  # the network is the user's and may raise anything
        reason = (str(error).splitlines() or [""])[0]
        raise SettingError(
            f"{_name(network)} fails on clips of shape {tuple(x.shape)}, which are (N, C, T, V, M): "
            f"{type(error).__name__}: {reason}"
        ) from error
    return logits


def _name(network: nn.Module) -> str:
    return f"the network {type(getattr(network, 'model', network)).__name__}"


def sample(channels: int, num_frames: int, num_joints: int, num_persons: int) -> Tensor:
    """Clips (``CLIPS``, C, T, V, M) of joints that move at random, of the size of a body in metres."""
    generator = torch.Generator().manual_seed(0)
    shape = (CLIPS, channels, num_frames, num_joints, num_persons)
    return torch.rand(shape, generator=generator) * 1.5 + 0.1

"""A victim's probabilities over a sliding window of a clip."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from skeleton_adv.core.skeleton import Skeleton

PLACES = 17  # of the window, at most
SHOWN = 5  # classes, at most


@dataclass(frozen=True)
class Windows:
    """Probabilities (windows, classes) of a clean and an adversarial clip, and of both as a whole."""

    middles: np.ndarray  # (windows,) the frame in the middle of each window, from 0
    width: int  # frames of a window
    classes: tuple[int, ...]  # those shown
    clean: np.ndarray
    adversarial: np.ndarray
    whole: np.ndarray  # (2, classes)


def windows(network: nn.Module, x: np.ndarray, x_adv: np.ndarray, exists: np.ndarray, skeleton: Skeleton) -> Windows:
    """The probabilities of the classes that are likeliest in any window, for clips (C, T, V, M).

    Each window has half of the frames and is resampled linearly to all T; a joint exists in a resampled frame if it
    exists in both of its sources.
    """
    frames = x.shape[1]
    width = min(frames, max(frames // 2, 8))
    starts = np.unique(np.linspace(0, frames - width, PLACES).round().astype(int))
    clips = [torch.from_numpy(np.ascontiguousarray(one)).float() for one in (x, x_adv)]
    mask = torch.from_numpy(exists)
    cut = [_stretched(clip, mask, start, width) for clip in clips for start in starts]
    with torch.no_grad():
        logits = network(torch.stack([*cut, *clips])).double()
    probabilities = logits.softmax(dim=1).numpy()
    count = len(starts)
    clean, adversarial, whole = probabilities[:count], probabilities[count:-2], probabilities[-2:]
    most = np.maximum(clean.max(axis=0), adversarial.max(axis=0)) + 2 * whole.max(axis=0)
    first = [int(one) for one in whole.argmax(axis=1)]  # the predictions are always shown
    classes = tuple(dict.fromkeys([*first, *(int(one) for one in np.argsort(-most))]))[:SHOWN]
    chosen = list(classes)
    middles = starts + (width - 1) / 2
    return Windows(middles, width, classes, clean[:, chosen], adversarial[:, chosen], whole[:, chosen])


def _stretched(clip: Tensor, mask: Tensor, start: int, width: int) -> Tensor:
    """(C, T, V, M) the frames of a window, resampled to the clip's number of frames."""
    frames = clip.shape[1]
    place = ((torch.arange(frames) + 0.5) * width / frames - 0.5).clamp(0, width - 1)
    before = place.floor().long()
    after = (before + 1).clamp(max=width - 1)
    part = (place - before).view(1, -1, 1, 1)
    own, there = clip[:, start : start + width], mask[start : start + width]
    exists = there[before] & there[after]
    return torch.where(exists, (1 - part) * own[:, before] + part * own[:, after], 0.0)

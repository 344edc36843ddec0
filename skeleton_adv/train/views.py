"""Random views of clips, which contrastive training compares."""

from collections.abc import Sequence

import torch
from torch import Tensor

CORRUPTED = 0.6  # share of the joints that a corruption changes: 15 of 25


def view_of(x: Tensor, coords: Sequence[int], crop: float) -> Tensor:
    """A random view of each of the clips x (N, C, T, V, M), by torch's global generator.

    Skeleton-Contrastive 3D Action Representation Learning (Thoker et al., arXiv 2108.03656), as Hard No-Box uses it: a
    random window of at least the share ``crop`` of the frames, and then, each for half of the clips, a shear of all
    poses or a corruption of three fifths of the joints, which are lost or multiplied by a random matrix.
    """
    return changed(cropped(x, crop), coords)


def cropped(x: Tensor, crop: float) -> Tensor:
    """A random window of each clip, at least the share ``crop`` of its T frames, resized linearly to T frames."""
    n, _, frames, _, _ = x.shape
    share, place = torch.rand(2, n, 1, device=x.device)
    length = (frames * (crop + (1 - crop) * share)).floor().clamp(min=1)
    start = (place * (frames - length + 1)).floor().clamp(max=frames - length)
    steps = (torch.arange(frames, device=x.device) + 0.5) * (length / frames) - 0.5  # (N, T)
    at = start + torch.minimum(steps.clamp(min=0), length - 1)
    low = at.long()
    high = torch.minimum(low + 1, (start + length - 1).long())
    weight = (at - low).view(n, 1, frames, 1, 1).to(x.dtype)
    first, second = (x.gather(2, one.view(n, 1, frames, 1, 1).expand_as(x)) for one in (low, high))
    mixed: Tensor = first * (1 - weight) + second * weight
    return mixed


def changed(x: Tensor, coords: Sequence[int]) -> Tensor:
    """Half of the clips sheared, a quarter with lost joints, a quarter with joints multiplied by a random matrix.

    A shear has 1 on its diagonal; its other entries, and all those of a random matrix, are uniform in [-1, 1].
    """
    (n, channels, _, joints, _), device = x.shape, x.device
    kind = torch.rand(n, 1, 1, device=device)
    drawn = 2 * torch.rand(n, len(coords), len(coords), device=device) - 1
    diagonal = torch.eye(len(coords), dtype=torch.bool, device=device)
    block = torch.where((kind < 0.5) & diagonal, 1, drawn)
    matrix = torch.eye(channels, device=device).repeat(n, 1, 1)
    rows = torch.tensor(list(coords), device=device)
    matrix[:, rows[:, None], rows] = block
    matrix = torch.where(kind < 0.75, matrix, 0)
    rank = torch.rand(n, joints, device=device).argsort(dim=1).argsort(dim=1)
    chosen = (rank < round(CORRUPTED * joints)) | (kind[:, :, 0] < 0.5)
    moved = torch.einsum("ndc,nctvm->ndtvm", matrix.to(x.dtype), x)
    return torch.where(chosen.view(n, 1, 1, joints, 1), moved, x)

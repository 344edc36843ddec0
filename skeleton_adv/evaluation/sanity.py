"""Signs that an attack is weaker than it could be, with one value per clip, similar to AutoAttack's checks."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from skeleton_adv.attacks.losses import margin
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal
from skeleton_adv.models.victim import View

FALL = 0.01  # the smallest decrease that counts, as a fraction of the margin, or of 1 if the margin is smaller


def gradient_norm(view: View, batch: SkeletonBatch) -> Tensor:
    """(N,) norm of the gradient of the cross-entropy at the clean clips, over movable entries, per metre.

    Reliable Evaluation of Adversarial Robustness (Croce and Hein, arXiv 2003.01690): a gradient of 0
    means that the gradient is masked, not that the victim is robust.
    """
    x = batch.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(F.cross_entropy(view(x), batch.y, reduction="sum"), x)
    norm: Tensor = torch.linalg.vector_norm((gradient * batch.movable).flatten(1), dim=1)
    return norm


def still_falling(answers: list[Tensor], y: Tensor, targeted: bool) -> Tensor:
    """(N,) bool: whether the margin, averaged over a twentieth of the steps, was still falling at the end.

    ``answers`` are the logits (N, K) that the attack saw at each step.
    """
    window = _window(len(answers))
    if len(answers) < 2 * window:
        return torch.zeros_like(y, dtype=torch.bool)
    return _fall(torch.stack([margin(logits, y, targeted) for logits in answers[-2 * window :]]), window)


def margins_fall(margins: Sequence[list[float]], like: Tensor) -> Tensor:
    """The same from the ``margins`` of each clip's own steps, whose numbers may differ; ``like`` is (N,)."""
    falling = torch.zeros_like(like, dtype=torch.bool)
    for row, values in enumerate(margins):
        window = _window(len(values))
        if len(values) >= 2 * window:
            # A mean of (steps, N) is computed in another order if N is 1.
            columns = like.new_tensor(values[-2 * window :])[:, None].repeat(1, len(margins))
            falling[row] = _fall(columns, window)[row]
    return falling


def _window(steps: int) -> int:
    return max(steps // 20, 1)


def _fall(margins: Tensor, window: int) -> Tensor:
    """(N,) bool, from the margins (2 ``window``, N)."""
    before, last = margins[:window].mean(dim=0), margins[window:].mean(dim=0)
    return last < before - FALL * before.abs().clamp(min=1)


def noise_control(x_adv: Tensor, batch: SkeletonBatch, seed: int) -> Tensor:
    """Clips (N, C, T, V, M) with Gaussian noise on movable entries, with the same l2 as the attack's perturbation."""
    noise: Tensor = normal(batch.x, batch.index, seed, "control") * batch.movable
    l2 = torch.linalg.vector_norm(((x_adv - batch.x) * batch.movable).flatten(1), dim=1)
    scale: Tensor = l2 / torch.linalg.vector_norm(noise.flatten(1), dim=1).clamp(min=1e-12)
    return batch.x + scale.view(-1, 1, 1, 1, 1) * noise

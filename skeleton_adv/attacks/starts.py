"""The start of attacks that use labels only: the nearest of several clips that fool the victim."""

import torch
from torch import Tensor

from skeleton_adv.attacks import Model, Pool
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal, uniform


def nearest_start(
    model: Model, batch: SkeletonBatch, pool: Pool, targeted: bool, seed: int, queries: int
) -> tuple[Tensor, Tensor]:
    """The nearest clip (N, C, T, V, M) that fools the model after ``queries`` queries, and its l2 (N,).

    Tries the clean clip, then training clips of another class (of the target class), placed at the clip's position,
    and in the other half of the queries the clean clip with Gaussian noise of 1 mm to 1 m. Where none fools the
    model, it returns the clean clip with an infinite l2.
    """
    best, shortest = batch.x, torch.full_like(batch.x[:, 0, 0, 0, 0], torch.inf)
    order, noisy = shuffled(batch, pool, targeted, seed), (queries - 1) // 2
    for query in range(queries):
        if query == 0:
            x = batch.x
        elif query < queries - noisy:
            numbers = order[:, (query - 1) % order.shape[1]]
            x = _placed(pool.batch(numbers.tolist()), batch)
        else:
            size = 0.001 * 1000 ** ((query - queries + noisy) / max(noisy - 1, 1))
            noise = normal(batch.x, batch.index, seed, "start", query)
            x = torch.where(batch.movable, batch.x + size * noise, batch.x)
        distance = (x - batch.x).flatten(1).norm(dim=1)
        better = fools(model(x), batch.y, targeted) & (distance < shortest)
        best, shortest = torch.where(broadcast(better), x, best), torch.where(better, distance, shortest)
    return best, shortest


def fools(classes: Tensor, y: Tensor, targeted: bool) -> Tensor:
    """(N,) bool: whether the predicted classes (N,) are a success; -1 is no class."""
    hit = classes == y
    return (hit if targeted else ~hit) & (classes >= 0)


def shuffled(batch: SkeletonBatch, pool: Pool, targeted: bool, seed: int) -> Tensor:
    """(N, k) numbers of training clips in a random order per clip; those of unsuitable classes come last."""
    like = batch.x.new_empty(len(batch), len(pool))
    same = pool.labels.to(batch.y.device)[None] == batch.y[:, None]
    drawn = uniform(like, batch.index, seed, "training clips")
    return (drawn + (same != targeted)).argsort(dim=1, stable=True)[:, :100]


def _placed(clips: SkeletonBatch, batch: SkeletonBatch) -> Tensor:
    """Training clips moved so that their first root is that of ``batch``; joints that they lack stay clean."""
    shift = first_root(batch) - first_root(clips).to(batch.x)
    x = clips.x.to(batch.x) + shift.view(len(batch), -1, 1, 1, 1)
    return torch.where(batch.movable & clips.mask.to(batch.x.device), x, batch.x)


def first_root(batch: SkeletonBatch) -> Tensor:
    """(N, C) the root of the first person in the first frame in which it exists."""
    root = batch.skeleton.root
    frame = batch.mask[:, 0, :, root, 0].int().argmax(dim=1)
    return batch.x[torch.arange(len(batch), device=batch.x.device), :, frame, root, 0]

"""The boundary attack: a random walk along the border of the victim's decision, from labels only."""

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.starts import fools, nearest_start
from skeleton_adv.constraints.ball import broadcast
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.noise import normal
from skeleton_adv.core.ranges import Count, Positive, Whole, checked

CHECK = 4  # steps per query of the point on the sphere
SPHERES, MOVES = 10, 30  # answers per adaptation of the two step sizes
ADAPT = 1.5


@needs("labels", passes=lambda queries, **_: queries, pool=True, minimises="l2")
@checked
def boundary(
    model: Model,
    batch: SkeletonBatch,
    *,
    pool: Pool,
    targeted: bool = False,
    queries: Count = 2000,
    starts: Count = 20,
    sphere_step: Positive = 0.01,
    source_step: Positive = 0.01,
    seed: Whole = 0,
    trace: bool = False,
) -> AttackResult:
    """Decision-Based Adversarial Attacks: Reliable Attacks Against Black-Box Machine Learning Models (Brendel, Rauber
    and Bethge, arXiv 1712.04248).

    A step moves at random on the sphere around the clean clip, by ``sphere_step`` times the distance, and then towards
    the clean clip by ``source_step`` times the distance; it is accepted if the clip still fools the model. The sizes
    adapt: both grow if more than half of the points on the sphere fool the model and shrink below a fifth; the step
    towards the clean clip grows if more than a quarter of the moves succeed and shrinks below a tenth.

    ``queries`` is the exact number per clip, including the ``starts`` that search for the first clip
    (``nearest_start``). With ``trace``, the result contains the l2 in metres after each query. A clip without a
    successful start stays clean.
    Differs from the paper: coordinates have no bounds; a point on the sphere is queried in every fourth step, and sizes
    adapt after 10 such points and 30 moves, because the authors' 100 points need 1,000 steps.
    """
    starts = min(starts, queries)
    x, length = nearest_start(model, batch, pool, targeted, seed, starts)
    sphere_size, source_size = torch.full_like(length, sphere_step), torch.full_like(length, source_step)
    spheres, moves = torch.zeros_like(length), torch.zeros_like(length)
    lengths = [length] * starts
    step = 0
    while len(lengths) < queries:
        noise = normal(batch.x, batch.index, seed, "boundary", step)
        on_sphere = around(batch.x, x, torch.where(batch.movable, noise, 0), sphere_size)
        if step % CHECK == 0 and len(lengths) + 1 < queries:
            spheres += fools(model(on_sphere), batch.y, targeted)
            lengths.append(length)
            if (step // CHECK + 1) % SPHERES == 0:
                change = _adapted(spheres / SPHERES, 0.2, 0.5)
                sphere_size, source_size, spheres = sphere_size * change, source_size * change, spheres * 0
        x_new = on_sphere + broadcast(source_size.clamp(max=1)) * (batch.x - on_sphere)
        distance = (x_new - batch.x).flatten(1).norm(dim=1)
        success = fools(model(x_new), batch.y, targeted) & (distance < length)
        x, length = torch.where(broadcast(success), x_new, x), torch.where(success, distance, length)
        lengths.append(length)
        moves += success
        step += 1
        if step % MOVES == 0:
            source_size, moves = source_size * _adapted(moves / MOVES, 0.1, 0.25), moves * 0
    return AttackResult(x, length.isfinite(), {"l2": torch.stack(lengths)} if trace else None)


def around(clean: Tensor, x: Tensor, noise: Tensor, size: Tensor) -> Tensor:
    """Clips on the sphere around ``clean`` through ``x``, from ``x`` by ``size`` (N,) times the radius along ``noise``.

    The noise is made orthogonal to the direction of the clean clip.
    """
    radius = (x - clean).flatten(1).norm(dim=1)
    direction = (x - clean) / broadcast(radius.clamp(min=1e-30))
    tangent = noise - broadcast((noise * direction).flatten(1).sum(dim=1)) * direction
    reach = radius * size / tangent.flatten(1).norm(dim=1).clamp(min=1e-30)
    moved = x - clean + broadcast(reach) * tangent
    return clean + moved * broadcast(radius / moved.flatten(1).norm(dim=1).clamp(min=1e-30))


def _adapted(share: Tensor, low: float, high: float) -> Tensor:
    """(N,) the factor of a step size whose ``share`` of successes should be between ``low`` and ``high``."""
    return torch.where(share > high, ADAPT, torch.where(share < low, 1 / ADAPT, 1.0)).to(share.dtype)

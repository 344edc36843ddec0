"""ISAAC-N: the limb that matters least for an action moves as in a clip of another action; no queries on test clips."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from skeleton_adv.attacks import AttackResult, Model, Pool, needs
from skeleton_adv.attacks.losses import cross_entropy
from skeleton_adv.attacks.starts import shuffled
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.geometry import coordinates
from skeleton_adv.core.ranges import Count, Whole, checked
from skeleton_adv.core.tree import limbs

CHUNK = 32  # training clips per pass


def limb_importance(
    view: object, pool: Pool, state: Mapping[str, Tensor] | None, *, fit_clips: Count = 500
) -> Iterator[dict[str, Tensor]]:
    """The importance (K, L) of each limb for each class: by how much its occlusion raises the cross-entropy.

    An occluded limb is held stiff: its joints keep their mean offset from the joint that the limb is attached to. Means
    over at most ``fit_clips`` training clips; a class without clips gets the mean over all classes.
    """
    numbers = list(range(0, len(pool), -(-len(pool) // fit_clips)))
    classes = int(pool.labels.max()) + 1
    total = state["total"].cpu() if state else torch.zeros(classes, 0)
    seen, done = (state["seen"].cpu(), int(state["done"])) if state else (torch.zeros(classes), 0)
    while done < len(numbers):
        batch = pool.batch(numbers[done : done + CHUNK])
        parts, model = limbs(batch.skeleton), view(batch)  # type: ignore[operator]
        with torch.no_grad():
            clean = cross_entropy(model(batch.x), batch.y)
            rises = [cross_entropy(model(_stiff(batch, part)), batch.y) - clean for part in parts]
        if not total.shape[1]:
            total = torch.zeros(classes, len(parts))
        labels = batch.y.cpu()
        total = total.index_add(0, labels, torch.stack(rises, dim=1).float().cpu())
        seen = seen.index_add(0, labels, torch.ones(len(labels)))
        done += len(labels)
        mean = torch.where(seen[:, None] > 0, total / seen[:, None].clamp(min=1), total.sum(dim=0) / seen.sum())
        yield {"importance": mean, "total": total, "seen": seen, "done": torch.tensor(done)}


@needs("none", columns={"limb": "int"}, passes=lambda **_: 0, pool=True, fit=limb_importance, fit_access="scores")
@checked
def isaac_n(
    model: Model,
    batch: SkeletonBatch,
    *,
    pool: Pool,
    fitted: Mapping[str, Tensor],
    targeted: bool = False,
    fade: Whole = 5,
    fit_clips: Count = 500,
    seed: Whole = 0,
) -> AttackResult:
    """After ISAAC-N (arXiv 2501.16843): re-implemented from its description; the constants are ours.

    The importance of each limb for each class is fitted on training clips, with the scores of the attacked network
    (``limb_importance``); test clips are changed without calling it. The limb with the least importance for the clip's
    class takes the bone directions of a random training clip of another class; its bones keep the lengths of the
    attacked body. Directions fade in and out over ``fade`` frames at both ends of the clip. With ``targeted``, the limb
    that is most important for the target moves as in a training clip of the target.

    It makes no query on test clips, so it claims no success. A person who is not in the training clip moves as its
    first person. The column ``limb`` is the number of the limb (``core.tree.limbs``).
    """
    importance = fitted["importance"].to(batch.x)[batch.y.clamp(max=len(fitted["importance"]) - 1)]  # (N, L)
    parts = limbs(batch.skeleton)
    movable = batch.movable.any(dim=1).any(dim=1).any(dim=2)  # (N, V)
    able = torch.stack([movable[:, list(part)].any(dim=1) for part in parts], dim=1)
    limb = torch.where(able, -importance if targeted else importance, torch.inf).argmin(dim=1)
    donor = pool.batch(shuffled(batch, pool, targeted, seed)[:, 0].tolist())
    x_adv = batch.x
    for number, part in enumerate(parts):
        moved = _swapped(batch, donor, part, fade)
        x_adv = torch.where((limb == number).view(-1, 1, 1, 1, 1), moved, x_adv)
    none = torch.zeros(len(batch), dtype=torch.bool, device=batch.x.device)
    return AttackResult(torch.where(batch.movable, x_adv, batch.x), none, columns={"limb": limb})


def _stiff(batch: SkeletonBatch, part: tuple[int, ...]) -> Tensor:
    """Clips whose limb keeps its mean offset from the joint that it is attached to."""
    hook = batch.skeleton.parents[part[0]]
    joints = list(part)
    there = batch.mask[:, :, :, joints] & batch.mask[:, :, :, [hook]]  # (N, 1, T, P, M)
    offset = torch.where(there, batch.x[:, :, :, joints] - batch.x[:, :, :, [hook]], 0)
    mean = offset.sum(dim=2, keepdim=True) / there.sum(dim=2, keepdim=True).clamp(min=1)
    x = batch.x.clone()
    x[:, :, :, joints] = torch.where(there, batch.x[:, :, :, [hook]] + mean, x[:, :, :, joints])
    return torch.where(batch.movable, x, batch.x)


def _swapped(batch: SkeletonBatch, donor: SkeletonBatch, part: tuple[int, ...], fade: int) -> Tensor:
    """Clips whose limb has the bone directions of ``donor`` and its own bone lengths."""
    coords, frames = list(batch.skeleton.coords), batch.x.shape[2]
    known = donor.mask.any(dim=2, keepdim=True).any(dim=3, keepdim=True).to(batch.x.device)
    theirs = coordinates(donor.x, batch.skeleton).to(batch.x)
    theirs = torch.where(known, theirs, theirs[..., :1])
    exists = torch.where(known, donor.mask.to(batch.x.device), donor.mask[..., :1].to(batch.x.device))
    time = torch.arange(frames, device=batch.x.device, dtype=batch.x.dtype)
    share = (torch.minimum(time + 1, frames - time) / (fade + 1)).clamp(max=1).view(1, 1, -1, 1)  # of the donor
    own, x = coordinates(batch.x, batch.skeleton), batch.x.clone()
    for joint in part:
        parent = batch.skeleton.parents[joint]
        bone, other = (z[:, :, :, joint] - z[:, :, :, parent] for z in (own, theirs))  # (N, C, T, M)
        both = batch.mask[:, :, :, joint] & batch.mask[:, :, :, parent]
        theirs_too = exists[:, :, :, joint] & exists[:, :, :, parent]
        mixed = torch.where(theirs_too, (1 - share) * _unit(bone) + share * _unit(other), bone)
        mixed = torch.where(mixed.norm(dim=1, keepdim=True) > 1e-6, mixed, bone)
        moved = x[:, coords, :, parent] + bone.norm(dim=1, keepdim=True) * _unit(mixed)
        x[:, coords, :, joint] = torch.where(both, moved, x[:, coords, :, joint])
    return x


def _unit(vectors: Tensor) -> Tensor:
    size: Tensor = vectors.norm(dim=1, keepdim=True)
    return vectors / size.clamp(min=1e-30)

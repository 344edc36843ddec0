"""The target class of a targeted attack."""

import hashlib
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest

Target = str | int  # "random", "least_likely", or a class by name or number


def targets(
    target: Target,
    batch: SkeletonBatch,
    classes: Sequence[str],
    seed: int,
    view: Callable[[Tensor], Tensor],
) -> Tensor:
    """(N,) the classes to reach; ``random`` and ``least_likely`` (in the logits of ``view``) exclude the true class."""
    if target == "least_likely":
        with torch.no_grad():
            logits = view(batch.x)
        return logits.scatter(1, batch.y[:, None], torch.inf).argmin(dim=1)
    if target == "random":
        pairs = zip(batch.index.tolist(), batch.y.tolist(), strict=True)
        drawn = [random_target(seed, index, label, len(classes)) for index, label in pairs]
        return torch.tensor(drawn, device=batch.y.device)
    return torch.full_like(batch.y, resolve_class(target, classes))


def random_target(seed: int, index: int, label: int, num_classes: int) -> int:
    """A class other than ``label``, which depends only on the seed and the clip."""
    stream = hashlib.sha256(f"target {seed} {index}".encode()).digest()
    drawn = int(np.random.Generator(np.random.PCG64(int.from_bytes(stream[:8]))).integers(num_classes - 1))
    return drawn + (drawn >= label)


def resolve_class(target: Target, classes: Sequence[str]) -> int:
    """The number of a class given by name or number; raises ``SettingError`` with the most similar name."""
    text = str(target)
    if text in classes:
        return list(classes).index(text)
    if text.lstrip("-").isdigit():
        if not 0 <= int(text) < len(classes):
            raise SettingError(f"target={target} is out of range: classes are numbered from 0 to {len(classes) - 1}")
        return int(text)
    raise SettingError(f"target={target} is not a class: {nearest(text, ['random', 'least_likely', *classes])}")

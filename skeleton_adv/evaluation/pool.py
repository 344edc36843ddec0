"""The training clips that an attacker or a defender has."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import DataError
from skeleton_adv.data.clips import Dataset, Prepared, Split, hashed_order, load_batch

CLIPS = 64  # per batch, where all clips of a split are measured


def batches(dataset: Dataset, prepared: Prepared, split: Split, device: str) -> Iterator[SkeletonBatch]:
    """All clips of a split."""
    numbers = hashed_order(prepared.clips, split)
    for start in range(0, len(numbers), CLIPS):
        yield load_batch(dataset, prepared, numbers[start : start + CLIPS]).to(device)


@dataclass(frozen=True)
class TrainingPool:
    """The training clips of a dataset in a fixed order, cropped and resampled as test clips are."""

    dataset: Dataset
    prepared: Prepared
    device: str

    def __len__(self) -> int:
        return len(self._numbers)

    @cached_property
    def labels(self) -> Tensor:
        """(n,) their classes."""
        return torch.tensor([self.prepared.clips[number].label for number in self._numbers], device=self.device)

    def batch(self, numbers: Sequence[int]) -> SkeletonBatch:
        """The clips with these places in the order."""
        return load_batch(self.dataset, self.prepared, [self._numbers[i] for i in numbers]).to(self.device)

    @cached_property
    def _numbers(self) -> list[int]:
        numbers = hashed_order(self.prepared.clips, "train")
        if not numbers:
            raise DataError(
                f"{self.dataset.name}: the method requires training clips, but has none: {self.dataset.splitting}"
            )
        return numbers

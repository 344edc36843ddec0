"""NTU RGB+D in the arrays of CTR-GCN and its relatives: ``NTU60_CS.npz``, ``NTU120_CSub.npz``, ``*_aligned.npz``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.dataset import Clip, RawClip, Space, Split
from skeleton_adv.data.ntu import Protocol
from skeleton_adv.data.prepared import PreparedNTU, labels_of, names_in_order, numbered, padded_clip, the_file
from skeleton_adv.data.rows import Rows, npz_rows

FRAMES, NUMBERS = 300, 150  # of a row: two persons, 25 joints, x, y and z
COUNTS: dict[Protocol, dict[Split, int]] = {
    "cs": {"train": 40091, "test": 16487},
    "cv": {"train": 37646, "test": 18932},
}
AVAILABLE = "skes_available_name.txt"


@dataclass(frozen=True)
class NTUNpz(PreparedNTU):
    """The arrays that CTR-GCN (Uason-Chen/CTR-GCN, arXiv 2107.12213) makes, which STTFormer and SkateFormer share.

    ``root`` is the file. Its arrays are ``x_train`` and ``x_test`` (N, 300, 150) and ``y_train`` and ``y_test`` (N, K),
    ones at the labels. Coordinates are metres along the camera's axes, from the spine of the first person in the first
    frame that shows them; the position in the room is lost, as are frames without a body. A person who
    is written twice (NTU RGB+D 120) is read once.

    The file has no names. If ``skes_available_name.txt`` of CTR-GCN's ``statistics`` is beside it and the counts
    and labels agree, clips of NTU RGB+D have their official names; otherwise they are ``train_00000``, ....

    ``aligned`` is InfoGCN's ``*_aligned.npz`` (stnoah1/infogcn, arXiv 2203.04279), in which each person is
    also rotated by their first frame, separately. The rotation is lost, so the only space is ``normalised``. InfoGCN
    leaves out samples that contain NaN, as does ``on_error=skip``.

    A compressed array is read once from its start. Raises ``DataError`` naming the file and the entry.
    """

    aligned: bool = False

    @property
    def form(self) -> str:  # type: ignore[override]
        return "aligned" if self.aligned else "npz"

    @property
    def spaces(self) -> tuple[Space, ...]:
        return ("normalised",) if self.aligned else ("camera", "normalised")

    def sources(self) -> tuple[Path, ...]:
        path = the_file(self.root, "NTU60_CS.npz")
        names = path.with_name(AVAILABLE)
        return (path, names) if names.is_file() else (path,)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for clip in self._listed if clip.label < self.num_actions)

    def one_pass(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError] | None:
        if all(rows.start is not None for rows in self._arrays.values()):
            return None
        return self._in_order(clips)

    def read(self, clip: Clip) -> RawClip:
        split, number = self._places[clip.name]
        return self._clip(self._arrays[split], number, self._arrays[split].row(number))

    def _in_order(self, clips: Sequence[Clip]) -> Iterator[RawClip | DataError]:
        for split, rows in self._arrays.items():
            numbers = [self._places[clip.name][1] for clip in clips if clip.split == split]
            for number, row in zip(numbers, rows.each(numbers), strict=True):
                try:
                    yield self._clip(rows, number, row)
                except DataError as error:
                    yield error

    def _clip(self, rows: Rows, number: int, row: np.ndarray) -> RawClip:
        frames = row.reshape(FRAMES, 2, 25, 3).transpose(0, 3, 2, 1)
        return padded_clip(frames, self.num_persons, rows.where(number))

    @cached_property
    def _arrays(self) -> dict[Split, Rows]:
        path = the_file(self.root, "NTU60_CS.npz")
        splits: tuple[Split, ...] = ("train", "test")
        arrays = {split: npz_rows(path, f"x_{split}") for split in splits}
        for rows in arrays.values():
            if rows.shape[1:] != (FRAMES, NUMBERS) or rows.dtype.kind != "f":
                raise DataError(
                    f"{path}: {rows.key} is {rows.dtype} {rows.shape}, not float32 (N, {FRAMES}, {NUMBERS})"
                )
        counts = {split: len(rows) for split, rows in arrays.items()}
        other = next((one for one, official in COUNTS.items() if official == counts), self.protocol)
        if other != self.protocol:
            raise DataError(f"{path}: has the clips of protocol {other}: set dataset.protocol={other}")
        return arrays

    @cached_property
    def _listed(self) -> tuple[Clip, ...]:
        names = self._names()
        labels = self._labels
        return tuple(
            Clip(name, label, split)
            for split, rows in self._arrays.items()
            for name, label in zip(names[split] if names else numbered(split, len(rows)), labels[split], strict=True)
        )

    @cached_property
    def _places(self) -> dict[str, tuple[Split, int]]:
        """The array and the row of each clip."""
        counts = {split: len(rows) for split, rows in self._arrays.items()}
        places = [(split, number) for split, count in counts.items() for number in range(count)]
        return {clip.name: place for clip, place in zip(self._listed, places, strict=True)}

    @cached_property
    def _labels(self) -> dict[Split, list[int]]:
        labels: dict[Split, list[int]] = {}
        for split, rows in self._arrays.items():
            values = npz_rows(rows.path, f"y_{split}").loaded()
            if len(values) != len(rows):
                raise DataError(f"{rows.path}: {len(values)} labels in y_{split} for {len(rows)} clips in {rows.key}")
            labels[split] = labels_of(values, len(self.all_classes), f"{rows.path}: y_{split}")
        return labels

    def _names(self) -> dict[Split, list[str]] | None:
        """The official names of the rows, if they are known and agree with counts and labels."""
        names = names_in_order(the_file(self.root, "NTU60_CS.npz").with_name(AVAILABLE), self.protocol)
        if names is None:
            return None
        actions = {split: [int(name[-3:]) - 1 for name in listed] for split, listed in names.items()}
        return names if actions == self._labels else None

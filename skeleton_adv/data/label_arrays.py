"""The halves of a dataset in the files of ST-GCN and 2s-AGCN: an array of clips and a pickle of names and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.dataset import Clip, Split
from skeleton_adv.data.pickles import read_pickle
from skeleton_adv.data.prepared import SUFFIX, check_label, check_name
from skeleton_adv.data.rows import Rows, npy_rows

SPLITS: dict[str, Split] = {"train": "train", "val": "test"}


@dataclass(frozen=True)
class Half:
    """The training clips or the test clips, by row of the array."""

    rows: Rows
    names: tuple[str, ...]
    labels: tuple[int, ...]
    listing: Path  # the file of names and labels

    @cached_property
    def numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def frames(self, name: str) -> tuple[np.ndarray, str]:
        """The frames (T, C, V, M) of a clip, and its name in messages."""
        number = self.numbers[name]
        return self.rows.row(number).transpose(1, 0, 2, 3), self.rows.where(number)


def half_files(root: str, array: str) -> dict[Split, tuple[Path, Path]]:
    """The array and the label pickle of each split in the folder ``root``; raises ``DataError`` if one is missing.

    ``array`` is the name of the array's file without ``train_`` or ``val_``, such as ``data_joint.npy``.
    """
    folder = Path(root).expanduser()
    files = {split: (folder / f"{part}_{array}", folder / f"{part}_label.pkl") for part, split in SPLITS.items()}
    found = {split: pair for split, pair in files.items() if any(path.is_file() for path in pair)}
    if not found:
        raise DataError(
            f"dataset.root={root} contains neither train_{array} nor val_{array}: set dataset.root=... to the folder "
            f"of these files and of train_label.pkl and val_label.pkl"
        )
    for pair in found.values():
        for path in pair:
            if not path.is_file():
                raise DataError(f"{path} does not exist: put it into the folder")
    return found


def array_files(root: str, array: str) -> tuple[Path, ...]:
    """All files of ``half_files``."""
    return tuple(path for pair in half_files(root, array).values() for path in pair)


def entries(halves: Mapping[Split, Half], num_actions: int) -> list[tuple[Clip, str]]:
    """The clips of the first ``num_actions`` classes, each with its name in messages about the label file."""
    return [
        (Clip(name, label, split), f"{half.listing}: entry {number}")
        for split, half in halves.items()
        for number, (name, label) in enumerate(zip(half.names, half.labels, strict=True))
        if label < num_actions
    ]


def read_halves(root: str, array: str, shape: tuple[int, ...], num_classes: int) -> dict[Split, Half]:
    """Both splits of the folder ``root``, or the one that it contains.

    The arrays are (N, ``shape``); the pickles are pairs of a list of names and a list of labels. Names lose
    the suffix ``.skeleton`` or ``.json``. Raises ``DataError`` naming the file and the entry.
    """
    return {
        split: _half(path, listing, shape, num_classes) for split, (path, listing) in half_files(root, array).items()
    }


def _half(path: Path, listing: Path, shape: tuple[int, ...], num_classes: int) -> Half:
    rows = npy_rows(path)
    if rows.shape[1:] != shape or rows.dtype.kind != "f":
        raise DataError(f"{path}: is {rows.dtype} {rows.shape}, not float32 (N, {', '.join(map(str, shape))})")
    content = read_pickle(listing)
    parts = [list(part) for part in content if hasattr(part, "__len__")] if isinstance(content, tuple | list) else []
    if len(parts) != 2 or len(content) != 2 or len(parts[0]) != len(parts[1]):
        raise DataError(f"{listing}: must contain a list of names and a list of as many labels")
    if len(parts[0]) != len(rows):
        raise DataError(f"{listing}: {len(parts[0])} names and labels for the {len(rows)} clips of {path.name}")
    names = [SUFFIX.sub("", check_name(name, f"{listing}: entry {i}")) for i, name in enumerate(parts[0])]
    labels = [check_label(label, num_classes, f"{listing}: entry {i}") for i, label in enumerate(parts[1])]
    return Half(rows, tuple(names), tuple(labels), listing)

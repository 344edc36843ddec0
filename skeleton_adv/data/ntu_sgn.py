"""NTU RGB+D in the HDF5 files of SGN: ``NTU_CS.h5`` and ``NTU_CV.h5``; requires the extra ``h5``."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.dataset import Clip, RawClip, Split
from skeleton_adv.data.ntu import Protocol
from skeleton_adv.data.prepared import PreparedNTU, labels_of, numbered, padded_clip, the_file
from skeleton_adv.data.rows import refuse

FRAMES, NUMBERS = 300, 150  # of a row: two persons, 25 joints, x, y and z
PARTS: dict[str, Split] = {"": "train", "valid_": "train", "test_": "test"}  # of the names of arrays


@dataclass(frozen=True)
class NTUSGN(PreparedNTU):
    """The arrays that SGN (microsoft/SGN, arXiv 1904.01189) makes: those of CTR-GCN, in HDF5.

    ``root`` is the file, with ``x`` and ``y`` (95 % of the training clips, drawn at random), ``valid_x`` and
    ``valid_y`` (the rest) and ``test_x`` and ``test_y``. Both parts are for training, as in SGN's own loader.
    Coordinates are as in ``data.ntu_npz``. Names are lost; clips are ``train_00000``, ``valid_00000``
    and ``test_00000``, .... Raises ``DataError`` naming the file and the entry.
    """

    form = "sgn"
    protocols: ClassVar[tuple[Protocol, ...]] = ("cs", "cv")

    def sources(self) -> tuple[Path, ...]:
        return (the_file(self.root, "NTU_CS.h5"),)

    def clips(self) -> tuple[Clip, ...]:
        return tuple(clip for clip in self._places if clip.label < self.num_actions)

    def read(self, clip: Clip) -> RawClip:
        key, number = self._places[clip]
        path = self.sources()[0]
        with opened(path) as file:
            row = np.asarray(file[key][number])
        frames = row.reshape(FRAMES, 2, 25, 3).transpose(0, 3, 2, 1)
        return padded_clip(frames, self.num_persons, f"{path}: entry {number} of {key}")

    @cached_property
    def _places(self) -> dict[Clip, tuple[str, int]]:
        """The array and the row of each clip."""
        path = self.sources()[0]
        places = {}
        with opened(path) as file:
            for part, split in PARTS.items():
                x, y = (_array(file, f"{part}{key}", path) for key in "xy")
                if x.shape[1:] != (FRAMES, NUMBERS) or x.dtype.kind != "f" or len(x) != len(y):
                    raise DataError(
                        f"{path}: {part}x is {x.dtype} {x.shape} with {len(y)} labels, not float32 (N, {FRAMES}, "
                        f"{NUMBERS}) with as many"
                    )
                labels = labels_of(np.asarray(y), len(self.all_classes), f"{path}: {part}y")
                names = numbered(part.rstrip("_") or "train", len(labels))
                for number, (name, label) in enumerate(zip(names, labels, strict=True)):
                    places[Clip(name, label, split)] = f"{part}x", number
        return places


def _array(file: Any, key: str, path: Path) -> Any:
    if key not in file or not hasattr(file[key], "dtype"):
        raise DataError(f"{path}: contains no array {key}; it has {', '.join(map(str, file)) or 'nothing'}"[:300])
    found = file[key]
    if found.dtype.kind not in "fiu" or not found.shape:
        raise DataError(f"{path}: {key} is {found.dtype} {found.shape}, not an array of numbers")
    return found


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An HDF5 file; raises ``DataError`` if it is damaged or h5py is not installed."""
    try:
        h5py = import_module("h5py")
    except ImportError:
        raise DataError(f"{path}: .h5 files require h5py: pip install skeleton_adv[h5]") from None
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        refuse(str(path), error)

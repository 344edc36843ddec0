"""Clean and adversarial clips on disk: one safetensors file per chunk of a run. Imports no torch."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import write_whole

Location = tuple[Path, int]  # a file and a row in it
PAIR = ("x", "x_adv", "mask")  # the arrays that are needed to draw a clip


class SavedClips:
    """The saved clips of a run, in ``clips/*.safetensors`` below its folder.

    Each file contains clips (n, C, T, V, M) in float32, clean ``x`` and adversarial ``x_adv``, their
    ``mask`` (n, 1, T, V, M), seconds per frame ``dt`` (n,), their numbers in the dataset ``index`` (n,), and, if it
    was saved, the trace of each term of the attack, ``trace.<name>`` (n, steps). Earlier versions did not save
    ``dt``. A clip may be in two files with equal values.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / "clips"

    def save(
        self,
        index: Sequence[int],
        arrays: Mapping[str, np.ndarray],
        provenance: Mapping[str, str],
        overwrite: bool = False,
    ) -> None:
        """Write the file of one chunk, whole or not at all.

        Without ``overwrite``, an existing file that contains all of these arrays is left unchanged.
        """
        from safetensors import safe_open
        from safetensors.numpy import save

        path = self.folder / f"{index[0]:06}_{len(index)}.safetensors"
        if path.exists() and not overwrite:
            with safe_open(path, framework="np") as file:
                if {*arrays} <= {*file.keys()} and file.get_tensor("index").tolist() == list(index):
                    return
        tensors = {name: np.ascontiguousarray(_as_float32(values)) for name, values in arrays.items()}
        write_whole(path, save({**tensors, "index": np.array(index, dtype=np.int64)}, dict(provenance)))

    def locations(self, *arrays: str) -> dict[int, Location]:
        """Number of a clip -> its location, for the clips of which all these ``arrays`` were saved.

        Reads only the numbers. Raises ``RunError`` if a file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        locations: dict[int, Location] = {}
        for path in self._files:
            try:
                with safe_open(path, framework="np") as file:
                    numbers = file.get_tensor("index").tolist() if {*arrays} <= {*file.keys()} else []
            except (SafetensorError, OSError) as error:
                raise RunError(f"{path} is damaged ({error}): delete it and run its command again") from None
            locations |= {number: (path, row) for row, number in enumerate(numbers)}
        return locations

    def names(self) -> list[str]:
        """The names of the arrays in the first file of the run."""
        from safetensors import safe_open

        with safe_open(self._files[0], framework="np") as file:
            return list(file.keys())

    def load(self, index: Sequence[int]) -> np.ndarray:
        """Adversarial clips (n, C, T, V, M) by number; raises ``RunError`` naming the first that is missing."""
        missing = [number for number in index if number not in self._adversarial]
        if missing:
            raise RunError(
                f"{self.folder} contains {len(self._adversarial)} clips, but not number {missing[0]}: run its "
                "command again with runtime.save_clips=true, or lower runtime.limit to the number of saved clips"
            )
        return np.stack([read_row(self._adversarial[number], "x_adv") for number in index])

    def digest(self) -> str:
        """SHA-256 of the adversarial clips and their numbers; other arrays and the files' layout do not change it."""
        total = hashlib.sha256()
        for number in sorted(self._adversarial):
            total.update(number.to_bytes(8) + self.load([number]).tobytes())
        return total.hexdigest()

    @property
    def _files(self) -> list[Path]:
        """The files of the run, and those of its shards."""
        return sorted([*self.folder.glob("*.safetensors"), *self.run.glob("shard_*/clips/*.safetensors")])

    @cached_property
    def _adversarial(self) -> dict[int, Location]:
        return self.locations("x_adv")


def read_row(location: Location, name: str) -> np.ndarray:
    """The row of the array ``name`` that belongs to one clip."""
    from safetensors import safe_open

    path, row = location
    with safe_open(path, framework="np") as file:
        values: np.ndarray = file.get_slice(name)[row : row + 1][0]
    return values


def _as_float32(values: np.ndarray) -> np.ndarray:
    """Floating-point numbers as float32; masks and whole numbers unchanged."""
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values

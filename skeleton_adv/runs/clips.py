"""Clips on disk, clean and adversarial: a safetensors file for each chunk of a run. No torch here."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import write_whole

Place = tuple[Path, int]  # a file, and a row in it
PAIR = ("x", "x_adv", "mask")  # what a clip is shown with


class SavedClips:
    """The clips below a run's folder, ``clips/*.safetensors``.

    Each file holds clips (n, C, T, V, M) in float32, clean ``x`` and adversarial ``x_adv``, their
    ``mask`` (n, 1, T, V, M), seconds a frame ``dt`` (n,), their numbers in the dataset ``index`` (n,), and, if it
    was saved, the trace of the attack's terms, ``trace.<name>`` (n, steps). Earlier versions did not save ``dt``. A
    clip may be in two files, equal in both.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / "clips"

    def save(
        self, index: Sequence[int], arrays: Mapping[str, np.ndarray], provenance: Mapping[str, str], anew: bool = False
    ) -> None:
        """Write the file of one chunk, whole or not at all.

        An existing file with all of these arrays is kept, unless ``anew``.
        """
        from safetensors import safe_open
        from safetensors.numpy import save

        path = self.folder / f"{index[0]:06}_{len(index)}.safetensors"
        if path.exists() and not anew:
            with safe_open(path, framework="np") as file:
                if {*arrays} <= {*file.keys()} and file.get_tensor("index").tolist() == list(index):
                    return
        held = {name: np.ascontiguousarray(_single(values)) for name, values in arrays.items()}
        write_whole(path, save({**held, "index": np.array(index, dtype=np.int64)}, dict(provenance)))

    def places(self, *holding: str) -> dict[int, Place]:
        """Number of a clip -> its place, for clips of which all these arrays were saved; only numbers are read.

        Raises ``RunError`` if a file is damaged.
        """
        from safetensors import SafetensorError, safe_open

        found: dict[int, Place] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            try:
                with safe_open(path, framework="np") as file:
                    numbers = file.get_tensor("index").tolist() if {*holding} <= {*file.keys()} else []
            except (SafetensorError, OSError) as error:
                raise RunError(f"{path} is damaged ({error}): delete it and run its command again") from None
            found |= {number: (path, row) for row, number in enumerate(numbers)}
        return found

    def names(self) -> list[str]:
        """The names of the arrays in the run's first file."""
        from safetensors import safe_open

        with safe_open(min(self.folder.glob("*.safetensors")), framework="np") as file:
            return list(file.keys())

    def load(self, index: Sequence[int]) -> np.ndarray:
        """Adversarial clips (n, C, T, V, M) by number; raises ``RunError`` naming the first that is not there."""
        missing = [number for number in index if number not in self._adversarial]
        if missing:
            raise RunError(
                f"{self.folder} contains {len(self._adversarial)} clips, but not number {missing[0]}: run its "
                "command again with runtime.save_clips=true, or lower runtime.limit to the clips that it has"
            )
        return np.stack([read_row(self._adversarial[number], "x_adv") for number in index])

    def digest(self) -> str:
        """SHA-256 over the adversarial clips and their numbers, whatever else is saved and in which files."""
        total = hashlib.sha256()
        for number in sorted(self._adversarial):
            total.update(number.to_bytes(8) + self.load([number]).tobytes())
        return total.hexdigest()

    @cached_property
    def _adversarial(self) -> dict[int, Place]:
        return self.places("x_adv")


def read_row(place: Place, name: str) -> np.ndarray:
    """One clip's part of the array ``name``."""
    from safetensors import safe_open

    path, row = place
    with safe_open(path, framework="np") as file:
        values: np.ndarray = file.get_slice(name)[row : row + 1][0]
    return values


def _single(values: np.ndarray) -> np.ndarray:
    """Floating numbers as float32; masks and whole numbers as they are."""
    return values.astype(np.float32, copy=False) if values.dtype.kind == "f" else values

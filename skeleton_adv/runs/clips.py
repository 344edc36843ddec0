"""Clips on the disk, clean and adversarial: a safetensors file for each chunk of a run."""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.places import Place, places


class SavedClips:
    """The clips below a run's folder, ``clips/*.safetensors``.

    Each file holds clips (n, C, T, V, M) in float32, clean ``x`` and adversarial ``x_adv``, their
    ``mask`` (n, 1, T, V, M), their numbers in the dataset ``index`` (n,), and, if it was kept, the
    course of the attack's terms, ``trace.<name>`` (n, steps). A clip may lie in two files, equal in both.
    """

    def __init__(self, run: Path) -> None:
        self.run, self.folder = run, run / "clips"

    def save(
        self, index: Sequence[int], tensors: Mapping[str, Tensor], provenance: Mapping[str, str], anew: bool = False
    ) -> None:
        """Write one chunk's file, whole or not at all; ``anew`` even if it stands and holds all of these tensors."""
        from safetensors import safe_open
        from safetensors.torch import save

        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{index[0]:06}_{len(index)}.safetensors"
        if path.exists() and not anew:
            with safe_open(path, framework="pt") as file:
                if {*tensors} <= {*file.keys()} and file.get_tensor("index").tolist() == list(index):
                    return
        held = {name: _plain(value) for name, value in tensors.items()}
        part = path.with_suffix(".part")
        part.write_bytes(save({**held, "index": torch.tensor(list(index))}, dict(provenance)))
        part.replace(path)

    @cached_property
    def places(self) -> dict[int, Place]:
        """Where each adversarial clip lies: its file, and its row there."""
        return places(self.run, "x_adv")

    @cached_property
    def whole(self) -> dict[int, Place]:
        """The same of clips that are kept with their clean form and mask."""
        return places(self.run, "x", "x_adv", "mask")

    @cached_property
    def traced(self) -> dict[int, Place]:
        """The same of whole clips whose attack's course was kept too."""
        return places(self.run, "x", "x_adv", "mask", "trace.loss")

    def load(self, index: Sequence[int]) -> Tensor:
        """Clips (n, C, T, V, M) by number; raises ``RunError`` naming the first that is not there."""
        from safetensors import safe_open

        missing = [number for number in index if number not in self.places]
        if missing:
            raise RunError(
                f"{self.folder} holds {len(self.places)} clips, but not number {missing[0]}: give its run's command "
                "again with runtime.save_clips=true, or ask for no more clips than it has (runtime.limit)"
            )
        rows = []
        for number in index:
            path, row = self.places[number]
            with safe_open(path, framework="pt") as file:
                rows.append(file.get_slice("x_adv")[row : row + 1])
        return torch.cat(rows)

    def digest(self) -> str:
        """SHA-256 over the adversarial clips and their numbers, whatever else is kept and in which files."""
        total = hashlib.sha256()
        for number in sorted(self.places):
            total.update(number.to_bytes(8) + self.load([number]).numpy().tobytes())
        return total.hexdigest()


def _plain(values: Tensor) -> Tensor:
    values = values.detach().cpu().contiguous()
    return values.float() if values.is_floating_point() else values

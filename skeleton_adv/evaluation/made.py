"""The result of an attack on a chunk of clips, kept on disk so that many victims judge the clips of one surrogate."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from skeleton_adv.core.files import write_whole


@dataclass(frozen=True)
class Made:
    """An attack's result on one chunk, its cost and its signs of weakness; independent of the victim that judges it."""

    x_adv: Tensor  # (N, C, T, V, M) float32
    found: Tensor  # (N,) bool
    falling: Tensor  # (N,) bool, see ``sanity.still_falling``
    gradient: Tensor  # (N,), see ``sanity.gradient_norm``
    columns: Mapping[str, Tensor]  # name -> (N,), the attack's own
    forwards: Tensor  # (N,) int, forward passes of each clip
    gradients: Tensor  # (N,) int, backward passes
    seconds: float  # per chunk
    trace: Mapping[str, Tensor] | None = None  # name -> (steps, N)


@dataclass(frozen=True)
class Kept:
    """The results of one attack on one surrogate, by chunk, in a folder named by all that they depend on."""

    folder: Path

    def has(self, numbers: Sequence[int]) -> bool:
        """Whether there is a file of the result on a chunk."""
        return self._path(numbers).exists()

    def get(self, numbers: Sequence[int], device: str) -> Made | None:
        """The result on a chunk; None if there is none, or if its file is damaged."""
        from safetensors import SafetensorError, safe_open

        path = self._path(numbers)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt", device=device) as file:
                counts = json.loads(file.metadata()["counts"])
                values = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                for name in {"forwards", "gradients"} & {*counts}:  # earlier versions: the same for all clips
                    values[name] = torch.full_like(values["found"], counts.pop(name), dtype=torch.long)
        except (SafetensorError, OSError, KeyError, ValueError):
            path.unlink(missing_ok=True)
            return None
        own = {name.removeprefix("own."): values.pop(name) for name in list(values) if name.startswith("own.")}
        return Made(**values, columns=own, **counts)

    def put(self, numbers: Sequence[int], made: Made) -> None:
        """Keep the result on a chunk."""
        from safetensors.torch import save

        kept = ("x_adv", "found", "falling", "gradient", "forwards", "gradients")
        values = {name: getattr(made, name) for name in kept}
        values |= {f"own.{name}": column for name, column in made.columns.items()}
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in values.items()}
        write_whole(self._path(numbers), save(tensors, {"counts": json.dumps({"seconds": made.seconds})}))

    def _path(self, numbers: Sequence[int]) -> Path:
        return self.folder / f"{hashlib.sha256(repr(list(numbers)).encode()).hexdigest()[:16]}.safetensors"

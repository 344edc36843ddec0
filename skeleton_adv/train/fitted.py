"""Parts that are fitted once on training clips and used many times: settings -> tensors, found by identity."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.core.files import read_json


@dataclass(frozen=True)
class Fitted:
    """A fitted part: weights of a victim, a detector, an encoder, a perturbation.

    ``path`` is its ``.safetensors`` file, with a JSON of its facts beside it; ``identity`` is that of its settings.
    ``fit`` writes both files once and resumes after a kill.
    """

    path: Path
    identity: str

    @property
    def scratch(self) -> Path:
        """The file with the state of an unfinished fit."""
        return self.path.parent / f".{self.path.stem}-{self.identity}.pt"

    def is_there(self) -> bool:
        """Whether it is fitted; raises ``CheckpointError`` if the file has another identity."""
        about = self.path.with_suffix(".json")
        if not self.path.exists():
            return False
        if about.exists() and read_json(about, CheckpointError).get("identity") == self.identity:
            return True
        raise CheckpointError(
            f"{self.path} exists and was trained with other settings: delete it, or set model.checkpoint=PATH or "
            "model.seed"
        )

    def fit(self, work: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any] | None:
        """Fit and write it with ``work(scratch)`` and return its facts; None if it is already fitted.

        Waits for any other process that fits this file.
        """
        with self._locked():
            facts = None if self.is_there() else work(self.scratch)
            self.scratch.unlink(missing_ok=True)  # also that of a process that was killed after its last write
            return facts

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.parent / f".{self.path.stem}.lock"
        with FileLock(lock):
            yield
        lock.unlink(missing_ok=True)

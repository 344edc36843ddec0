"""Arrays that a run keeps in a file, so that it can resume within a chunk."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from skeleton_adv.core.files import whole

SAVE_SECONDS = 30.0  # between two saves

Arrays = dict[str, np.ndarray]


@dataclass
class Due:
    """Whether it is time to save again."""

    last: float = field(default_factory=time.monotonic)

    def __bool__(self) -> bool:
        return time.monotonic() - self.last > SAVE_SECONDS

    def saved(self) -> None:
        """Begin to wait for the next save."""
        self.last = time.monotonic()


def load_state(state: Path) -> Arrays | None:
    """The content of the file ``state``; None if it does not exist or is damaged."""
    if not state.exists():
        return None
    try:
        with open(state, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored) if "index" in stored else None
    except (ValueError, KeyError, OSError, EOFError, BadZipFile):
        return None


def save_state(state: Path, stored: Arrays) -> None:
    """Write the file ``state`` as a whole; ``index`` has the clips to which the arrays belong."""
    with whole(state) as part, open(part, "wb") as file:
        np.savez(file, **stored)  # type: ignore[arg-type]

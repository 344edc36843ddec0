"""Counts of draws that a certification keeps in a file, so that it can resume within a clip."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from skeleton_adv.core.files import whole

SAVE_SECONDS = 30.0  # between saves of a clip's counts


def load_counts(state: Path) -> dict[str, np.ndarray] | None:
    """The content of the file ``state``; None if it does not exist or is damaged."""
    if not state.exists():
        return None
    try:
        with open(state, "rb") as file, np.load(file, allow_pickle=False) as stored:
            return dict(stored) if "index" in stored else None
    except (ValueError, KeyError, OSError, EOFError, BadZipFile):
        return None


def save_counts(state: Path, stored: dict[str, np.ndarray]) -> None:
    """Write the file ``state`` as a whole."""
    with whole(state) as part, open(part, "wb") as file:
        np.savez(file, **stored)  # type: ignore[arg-type]

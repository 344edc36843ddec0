"""Folders for what the jobs of one command print."""

import os
from datetime import UTC, datetime
from pathlib import Path


def new_folder(logs: Path) -> Path:
    """A new folder below ``logs``; two commands never share one, even if they start in the same second."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d_%H-%M-%S")
    folder = logs.absolute() / f"{stamp}_{os.getpid()}"
    folder.mkdir(parents=True)
    return folder

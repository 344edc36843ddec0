"""Files that are written whole or not at all, and reading them back."""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skeleton_adv.core.errors import RunError


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path``; at the end, the file written there is synced and replaces ``path``.

    If the body raises, ``path`` is unchanged and the temporary file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
        _sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all; return its path."""
    with whole(path) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def write_json(path: Path, content: Mapping[str, Any], sort_keys: bool = False) -> Path:
    """Write a mapping as indented JSON, whole or not at all."""
    return write_whole(path, json.dumps(content, indent=2, sort_keys=sort_keys) + "\n")


def _sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable, if the system supports it."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


def read_json(path: Path, make_error: Callable[[str], Exception] | None = None) -> dict[str, Any]:
    """The object in a JSON file; raises ``RunError``, or the error of ``make_error(message)``, if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        message = f"{path} is damaged ({error}): delete it and run again"
        raise (make_error or RunError)(message) from None
    return content


def digest(path: Path) -> str:
    """SHA-256 of the content of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

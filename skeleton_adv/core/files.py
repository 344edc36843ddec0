"""Files that appear whole or not at all, and what is read back from them."""

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
    """A temporary path beside ``path``; the file written there is synced and replaces ``path`` at the end.

    Nothing appears at ``path``, and nothing is left beside it, if the body raises.
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
    """Write an object as indented JSON, whole or not at all."""
    return write_whole(path, json.dumps(content, indent=2, sort_keys=sort_keys) + "\n")


def _sync_folder(folder: Path) -> None:
    """Sync a rename to the disk, if the system supports it."""
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


def read_json(path: Path, complain: Callable[[str], Exception] | None = None) -> dict[str, Any]:
    """A JSON file's object; raises ``RunError``, or what ``complain`` makes of the message, if it is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (ValueError, RecursionError) as error:
        message = f"{path} is damaged ({error}): delete it and run again"
        raise (complain or RunError)(message) from None
    return content


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

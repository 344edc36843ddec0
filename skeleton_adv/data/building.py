"""A store that is being built: a preparation that was interrupted continues where it stopped."""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np

from skeleton_adv.data.dataset import Clip, RawClip, Skipped

JOURNAL, SAVE_SECONDS, SAVE_CLIPS = "journal.jsonl", 10.0, 1000  # between two entries in the journal


@dataclass(frozen=True)
class Entry:
    """A clip that has been read: its frames and digest, or why it was skipped."""

    name: str
    frames: int = 0
    digest: str = ""
    skipped: str | None = None


class Building:
    """The arrays of a store, written clip by clip, and a journal of what they contain.

    The journal is written after the arrays are on the disk, so that an entry is never ahead of its clip. Memory does
    not grow with the arrays.
    """

    def __init__(
        self, folder: Path, names: tuple[str, str], shape: tuple[int, int, int], clips: Sequence[Clip]
    ) -> None:
        """Files of the arrays are ``names`` in ``folder``; frames have ``shape`` (C, V, M); ``clips`` are all clips."""
        self._shapes = (shape, shape[1:])
        self._types: tuple[np.dtype[Any], np.dtype[Any]] = (np.dtype(np.float32), np.dtype(np.bool_))
        self._paths, self._journal = [folder / name for name in names], folder / JOURNAL
        self._clips = clips
        self._pending: list[Entry] = []
        self._saved = time.monotonic()
        self.total = hashlib.sha256()
        self.entries: list[Entry] = []
        self._starts = [len(_header(kind, part, 0)) for kind, part in zip(self._types, self._shapes, strict=True)]

    @contextmanager
    def opened(self) -> Iterator[list[Entry]]:
        """The entries of the clips that an earlier process has read; at the end, the arrays are complete."""
        for path, kind, shape in zip(self._paths, self._types, self._shapes, strict=True):
            if not path.exists() or path.stat().st_size < len(_header(kind, shape, 0)):
                path.write_bytes(_header(kind, shape, 0))
        with open(self._paths[0], "r+b") as frames, open(self._paths[1], "r+b") as exists:
            self._files: tuple[IO[bytes], IO[bytes]] = (frames, exists)
            self._resume()
            try:
                yield list(self.entries)
            finally:
                self._save()
            rows = sum(entry.frames for entry in self.entries)
            for file, kind, shape in zip(self._files, self._types, self._shapes, strict=True):
                file.seek(0)
                file.write(_header(kind, shape, rows))
                file.flush()
                os.fsync(file.fileno())
        self._journal.unlink()

    def add(self, clip: Clip, raw: RawClip) -> None:
        """Write one clip."""
        content = raw.frames.tobytes(), raw.exists.tobytes()
        for file, part in zip(self._files, content, strict=True):
            file.write(part)
        self._note(Entry(clip.name, len(raw.frames), self._count(clip, raw.frames.shape, content)))

    def skip(self, skipped: Skipped) -> None:
        """Note that a clip is left out."""
        self._note(Entry(skipped.name, skipped=skipped.reason))

    def _count(self, clip: Clip, shape: tuple[int, ...], content: tuple[bytes, bytes]) -> str:
        """Add a clip to the digest of the store; return its own."""
        own = hashlib.sha256()
        self.total.update(repr((clip, shape)).encode())
        for part in content:
            own.update(part)
            self.total.update(part)
        return own.hexdigest()

    def _note(self, entry: Entry) -> None:
        self.entries.append(entry)
        self._pending.append(entry)
        if len(self._pending) >= SAVE_CLIPS or time.monotonic() - self._saved > SAVE_SECONDS:
            self._save()

    def _save(self) -> None:
        """Write the arrays to the disk, then their entries."""
        for file in self._files:
            file.flush()
            os.fsync(file.fileno())
        with open(self._journal, "a", encoding="utf-8") as journal:
            journal.writelines(json.dumps(vars(entry)) + "\n" for entry in self._pending)
            journal.flush()
            os.fsync(journal.fileno())
        self._pending.clear()
        self._saved = time.monotonic()

    def _resume(self) -> None:
        """Go on after the last clip that is whole; what follows it is removed."""
        for file, start in zip(self._files, self._starts, strict=True):
            file.seek(start)
        for entry, clip in zip(self._noted(), self._clips, strict=False):
            if entry.name != clip.name or (entry.skipped is None and not self._is_whole(clip, entry)):
                break
            self.entries.append(entry)
        rows = sum(entry.frames for entry in self.entries)
        for file, kind, shape, start in zip(self._files, self._types, self._shapes, self._starts, strict=True):
            file.truncate(start + rows * kind.itemsize * prod(shape))
            file.seek(0, os.SEEK_END)
        self._journal.write_text("".join(json.dumps(vars(entry)) + "\n" for entry in self.entries), encoding="utf-8")

    def _is_whole(self, clip: Clip, entry: Entry) -> bool:
        """Whether the next clip in the arrays is as it was noted; its content counts for the digest of the store."""
        sizes = [kind.itemsize * prod(shape) for kind, shape in zip(self._types, self._shapes, strict=True)]
        frames, exists = (file.read(entry.frames * size) for file, size in zip(self._files, sizes, strict=True))
        if hashlib.sha256(frames + exists).hexdigest() != entry.digest:
            return False
        self._count(clip, (entry.frames, *self._shapes[0]), (frames, exists))
        return True

    def _noted(self) -> list[Entry]:
        """The entries of the journal, up to the first that is damaged."""
        entries = []
        with suppress(OSError, ValueError, TypeError):
            for line in self._journal.read_text(encoding="utf-8").splitlines(keepends=True):
                if not line.endswith("\n"):
                    break
                entries.append(Entry(**json.loads(line)))
        return entries


def digest_of(raw: RawClip) -> str:
    """SHA-256 of the content of a clip."""
    return hashlib.sha256(raw.frames.tobytes() + raw.exists.tobytes()).hexdigest()


def _header(kind: "np.dtype[Any]", shape: tuple[int, ...], rows: int) -> bytes:
    """The header of a ``.npy`` file with this number of rows; its length does not depend on the number of rows."""
    content = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (rows, *shape)}
    file = BytesIO()
    np.lib.format.write_array_header_1_0(file, content)
    return file.getvalue()

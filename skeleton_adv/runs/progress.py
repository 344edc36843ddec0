"""How far a run is and what its rows cost, read from its folder, finished or not. Imports no torch."""

import csv
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import read_json
from skeleton_adv.runs.schema import KINDS


@dataclass(frozen=True)
class Progress:
    """A run, or a shard of one: its rows, what they cost, and the facts that are known of it.

    ``facts`` are those of ``run.json``, if the run is finished, and of the work in ``begun.json``.
    """

    folder: Path
    kind: str
    finished: bool
    done: frozenset[int]  # the clips that have rows
    seconds: float  # that the rows took, together
    forwards: float | None  # passes of a network per chunk, a mean over clips; None: the rows do not count them
    facts: Mapping[str, Any]
    changed: float  # time of the last change, in seconds since the epoch

    @property
    def clips(self) -> int | None:
        """The number of clips that the run is to have; None if it is not known."""
        count = self.facts.get("done" if self.finished else "clips")
        return count if isinstance(count, int) else None

    @property
    def per_clip(self) -> float | None:
        """Seconds per clip, so far."""
        return self.seconds / len(self.done) if self.done else None

    @property
    def left(self) -> int | None:
        """Clips without rows; None if it is not known how many the run is to have."""
        return None if self.clips is None else max(self.clips - len(self.done), 0)


def progress_of(folder: Path) -> Progress | None:
    """The progress of the run in ``folder``; None if it contains no rows of a run.

    A last line that is not complete, as of a process that is writing it, is left out. Raises ``RunError`` if the
    facts or the rows are damaged.
    """
    for kind in KINDS.values():
        for path in (folder / kind.file, folder / f"{kind.file}.gz"):
            if path.is_file():
                finished = (folder / "run.json").is_file()
                done, seconds, forwards = _rows(path)
                return Progress(
                    folder, kind.name, finished, done, seconds, forwards, _facts(folder, finished), path.stat().st_mtime
                )
    return None


def progress_below(root: Path) -> list[Progress]:
    """The progress of every run below a folder, in a fixed order; damaged runs are left out."""
    names = [f"{kind.file}{end}" for kind in KINDS.values() for end in ("", ".gz")]
    found = []
    for folder in sorted({path.parent for name in names for path in root.rglob(name)}):
        try:
            found.append(progress_of(folder))
        except (RunError, OSError):
            continue
    return [one for one in found if one is not None]


def _facts(folder: Path, finished: bool) -> Mapping[str, Any]:
    begun = folder / "begun.json"
    doing = read_json(begun).get("doing") if begun.is_file() else None
    about = read_json(folder / "run.json") if finished else {}
    return (doing if isinstance(doing, dict) else {}) | about


def _rows(path: Path) -> tuple[frozenset[int], float, float | None]:
    """The clips with complete rows, the seconds that they took, and the mean of their forward passes."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError) as error:
        raise RunError(f"{path} is damaged ({error})") from None
    rows = csv.DictReader(io.StringIO(content[: content.rfind(b"\n") + 1].decode(errors="replace")))
    try:
        cells = [(int(row["index"]), float(row["seconds"]), row.get("forwards")) for row in rows]
        forwards = [float(count) for _, _, count in cells if count]
    except (KeyError, ValueError, TypeError):
        raise RunError(f"{path} is damaged") from None
    mean = sum(forwards) / len(forwards) if forwards else None
    return frozenset(number for number, _, _ in cells), sum(seconds for _, seconds, _ in cells), mean

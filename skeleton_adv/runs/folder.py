"""The folder of a run: rows that survive a kill, and ``run.json``, which marks the run as complete."""

import csv
import io
import math
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import digest, read_json, write_json, write_whole
from skeleton_adv.runs.schema import ColumnKind, Columns, RowKind

Row = Mapping[str, Any]  # a value for each column


class RunFolder:
    """The rows of one run, its ``begun.json`` (versions and machines) and its ``run.json`` (written last).

    The columns are recorded in ``begun.json`` before the first row and repeated in ``run.json``. A later version
    with more columns resumes an unfinished run with the run's original columns.
    """

    def __init__(self, path: Path, kind: RowKind) -> None:
        self.path, self.kind = path, kind
        self._columns: Columns = kind.columns  # until ``begin`` reads or records the run's own
        self._csv, self._json, self._begun = path / kind.file, path / "run.json", path / "begun.json"

    @contextmanager
    def locked(self, waiting: str = "") -> Iterator[None]:
        """Lock the folder; a second process prints ``waiting`` and waits."""
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(waiting, flush=True)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def summary(self) -> dict[str, Any] | None:
        """The content of ``run.json``, or None if the run is unfinished.

        Raises ``RunError`` if the rows have changed since the run ended.
        """
        if not self._json.exists() or not self._csv.exists():
            return None
        summary = read_json(self._json)
        rows = summary.get("rows")
        if isinstance(rows, dict):
            if rows.get("digest") != digest(self._csv):
                raise self._damaged("was changed after the run ended")
            return summary if isinstance(summary.get("done"), int) else None
        # Runs of an older version have no digest, so only the number of rows can be checked.
        return summary if self._csv.read_bytes().count(b"\n") - 1 == summary.get("done") else None

    def has_rows(self) -> bool:
        """Whether the rows of a clip are written."""
        return self._csv.exists() and self._csv.read_bytes().count(b"\n") > 1

    def discard(self) -> None:
        """Delete the folder of a run that has no rows."""
        assert not self.has_rows()
        shutil.rmtree(self.path, ignore_errors=True)

    def begin(self, columns: Columns, clips: Mapping[int, str], withdraw: bool = True) -> set[int]:
        """Repair a half-written last row and return the numbers of the clips that have rows.

        ``columns`` are used if the run has no rows yet; ``clips`` maps the numbers of all clips to their
        names. ``withdraw`` removes ``run.json``. Raises ``RunError`` if a row is damaged or its
        clip does not exist.
        """
        self._columns = columns
        self.path.mkdir(parents=True, exist_ok=True)
        if withdraw:
            self._json.unlink(missing_ok=True)
        if not self._csv.exists():
            self._pin(columns)
            write_whole(self._csv, ",".join(self._columns) + "\n")
        content = self._csv.read_bytes()
        # A row counts only if its line is complete, because a number that was cut short is still a number.
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(self._csv, "r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
        rows = list(csv.reader(io.StringIO(whole.decode(errors="replace"))))
        self._columns = self._pinned(rows[0] if rows else [])
        numbers = [self._number(row, clips) for row in rows[1:]]
        if len({*numbers}) != len(numbers):
            raise self._damaged("contains a clip twice")
        return set(numbers)

    def note(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Add the versions and machine of this process to ``begun.json``; return all that it lists."""
        known = list(self._read_begun().get("with", []))
        if dict(facts) not in known:
            known.append(dict(facts))
            write_json(self._begun, {**self._read_begun(), "with": known})
        return known

    def announce(self, facts: Mapping[str, Any]) -> None:
        """Record in ``begun.json`` what is being done, for those who watch an unfinished run."""
        if self._read_begun().get("doing") != dict(facts):
            write_json(self._begun, {**self._read_begun(), "doing": dict(facts)})

    def compare(self, rows: Sequence[Row]) -> None:
        """Raise ``RunError`` if clips that were attacked again do not match their rows.

        Predictions must be equal, and l2 must agree within 1 %: machines round differently, and attacks amplify
        rounding.
        """
        with open(self._csv, newline="") as file:
            known = {row["index"]: row for row in csv.DictReader(file)}
        for row in (row for row in rows if str(row["index"]) in known):
            before = known[str(row["index"])]
            wrong = [name for name in ("clean_pred", "adv_pred", "success") if before[name] != str(row[name])]
            # The l2 of a clip that diverged is not a number.
            if row["adv_pred"] >= 0 and not math.isclose(float(before["l2"]), row["l2"], rel_tol=0.01, abs_tol=1e-6):
                wrong.append("l2")
            if wrong:
                name = wrong[0]
                raise RunError(
                    f"clip {row['name']} now has {name}={row[name]}, but its row in {self._csv} has "
                    f"{before[name]}, from another machine or version: delete {self.path} or set "
                    "runtime.output_dir to another folder"
                )

    def append(self, rows: Sequence[Row]) -> None:
        """Add rows in one write and sync them to disk."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([row.get(column, "") for column in self._columns] for row in rows)
        with open(self._csv, "ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write ``run.json`` with the digest of the rows, once they are complete."""
        about = {"kind": self.kind.name, "schema": self.kind.schema, "columns": dict(self._columns)}
        rows = {"file": self._csv.name, "digest": digest(self._csv)}
        write_json(self._json, {**summary, **about, "rows": rows})

    def _pin(self, columns: Columns) -> None:
        write_json(self._begun, {**self._read_begun(), "columns": dict(columns)})

    def _pinned(self, header: list[str]) -> Columns:
        """The columns that this run began with; an older version recorded none, so its header determines them."""
        pinned = self._read_begun().get("columns")
        if pinned is None and {*header} == {*self._columns}:
            pinned = {name: self._columns[name] for name in header}
            self._pin(pinned)
        if not isinstance(pinned, dict) or list(pinned) != header or not {*self.kind.columns} <= {*pinned}:
            raise self._damaged("has a damaged header or is from another version")
        return pinned

    def _read_begun(self) -> dict[str, Any]:
        if not self._begun.exists():
            return {"with": []}
        begun = read_json(self._begun)
        if not isinstance(begun.get("with"), list) or not isinstance(begun.get("columns", {}), dict):
            raise RunError(f"{self._begun} is damaged: delete the folder {self.path} and run again")
        return begun

    def _number(self, row: list[str], clips: Mapping[int, str]) -> int:
        """The number of a row's clip; raises ``RunError`` if a cell has the wrong kind or the clip does not exist."""
        if len(row) != len(self._columns):
            raise self._damaged(f"has a row of {len(row)} cells, not {len(self._columns)}")
        cells = dict(zip(self._columns, row, strict=True))
        for name, kind in self._columns.items():
            if not _is_of_kind(cells[name], kind) and (cells[name] or name in self.kind.columns):
                raise self._damaged(f"has a row with {name}={cells[name]!r}")
        number = int(cells["index"])
        if clips.get(number) != cells["name"]:
            raise self._damaged(f"has a row for clip {number}, {cells['name']!r}, which this dataset does not contain")
        return number

    def _damaged(self, problem: str) -> RunError:
        return RunError(f"{self._csv} {problem}: delete the folder {self.path} and run again")


def _is_of_kind(cell: str, kind: ColumnKind) -> bool:
    """Whether the text of a CSV cell is a value of this kind."""
    if kind == "bool":
        return cell in ("True", "False")
    if kind == "text":
        return True
    try:
        int(cell) if kind == "int" else float(cell)
    except ValueError:
        return False
    return True

"""One row a clip: identity of runs, files that survive a kill, and provenance. No torch here."""

import csv
import hashlib
import io
import json
import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from skeleton_adv.core.errors import RunError

SCHEMA = 2  # of a record: to be raised with every change of its columns


@dataclass(frozen=True)
class Record:
    """What happened to one clip. Lengths in metres, angles in radians, ratios as fractions."""

    index: int  # number of the clip in its dataset
    name: str
    label: int
    target: int  # -1 if untargeted
    judgements: int  # how often the victim was asked: more than once if it draws noise
    clean_pred: int  # its most frequent answer
    adv_pred: int  # likewise; -1 if the attack diverged
    clean_correct: bool
    success: bool  # recomputed from the float32 clip by the deployed victim
    clean_share: float  # of the judgements that are right about the clean clip
    adv_share: float  # likewise about the adversarial one
    success_share: float
    found: bool  # the attack's own word
    falling: bool  # it failed, and its margin was still falling at the last step
    gradient: float  # norm of the cross-entropy's gradient at the clean clip, as the attack sees it, per metre
    control_share: float  # success of Gaussian noise of the attack's l2
    feasible: bool
    l2: float
    linf: float
    rms_mm: float  # l2 as rms millimetres a joint and frame
    bone_mean: float
    bone_max: float
    bone_ok: bool
    angle_mean: float
    angle_max: float
    angle_ok: bool
    true_angle_mean: float
    true_angle_max: float
    speed_mean: float
    speed_max: float
    speed_ok: bool
    kinetic: float  # NaN for a clip without motion
    forwards: int
    gradients: int
    seconds: float


@dataclass(frozen=True)
class CertificateRecord:
    """What is certified of one clip. Radii are l2 over existing joints' coordinates, in the clips' unit."""

    index: int
    name: str
    label: int
    pred: int  # -1 if the certificate abstains
    clean_correct: bool  # the victim without noise is right
    correct: bool  # of the smoothed victim's certified class
    abstained: bool
    radius: float  # Cohen et al.'s; 0 if abstained
    rms_mm: float  # the radius as rms millimetres a joint and frame
    p_low: float
    paper_pred: int
    paper_radius: float  # in the paper's form; -1 if its class is wrong
    draws: int
    seconds: float


COLUMNS = tuple(field.name for field in fields(Record))
CERTIFICATE_COLUMNS = tuple(field.name for field in fields(CertificateRecord))


def identity(settings: Mapping[str, Any], schema: int = SCHEMA) -> str:
    """Twelve hexadecimal digits of every setting that can change a number; 1 and 1.0 are the same."""
    canonical = json.dumps(_canonical({"schema": schema, **settings}), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


class RunFolder:
    """The rows and the ``run.json`` of one run; the second is written last, as the mark of an end."""

    def __init__(self, path: Path, file: str = "records.csv", columns: Sequence[str] = COLUMNS) -> None:
        self.path, self._columns = path, tuple(columns)
        self._csv, self._json = path / file, path / "run.json"

    @contextmanager
    def locked(self, waiting: str = "") -> Iterator[None]:
        """Hold the folder; a second process prints ``waiting`` and waits."""
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
        """What ``run.json`` says, or None if the run has not ended or its rows are not those it counts."""
        if not self._json.exists() or not self._csv.exists():
            return None
        summary = read_json(self._json)
        rows = self._csv.read_bytes().count(b"\n") - 1
        return summary if rows == summary.get("done") else None

    def begin(self, withdraw: bool = True) -> set[int]:
        """Repair a half-written last row, ``withdraw`` the mark of an end; indices of the rows that stand."""
        self.path.mkdir(parents=True, exist_ok=True)
        if withdraw:
            self._json.unlink(missing_ok=True)
        if not self._csv.exists():
            self._replace(self._csv, ",".join(self._columns) + "\n")
        content = self._csv.read_bytes()
        # A row counts only with its line's end: a cut number would still read as a number.
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            with open(self._csv, "r+b") as file:
                file.truncate(len(whole))
                os.fsync(file.fileno())
        rows = list(csv.reader(io.StringIO(whole.decode(errors="replace"))))
        numbers = [row[0] for row in rows[1:] if len(row) == len(self._columns) and row[0].isdigit()]
        if not rows or tuple(rows[0]) != self._columns or len({*numbers}) != len(rows) - 1:
            raise RunError(f"{self._csv} is damaged or of another version: delete the folder {self.path} and run again")
        return set(map(int, numbers))

    def note(self, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Remember what this run was worked on with, in ``begun.json``; return all that it was."""
        path = self.path / "begun.json"
        known: list[dict[str, Any]] = list(read_json(path)["with"]) if path.exists() else []
        if dict(facts) not in known:
            known.append(dict(facts))
            self._replace(path, json.dumps({"with": known}, indent=2) + "\n")
        return known

    def compare(self, records: Sequence[Record]) -> None:
        """Raise ``RunError`` if clips that were attacked once more are not those of their rows.

        Answers must be the same and l2 within a hundredth: machines round differently, and attacks amplify it.
        """
        with open(self._csv, newline="") as file:
            rows = {row["index"]: row for row in csv.DictReader(file)}
        for record in (record for record in records if str(record.index) in rows):
            row = rows[str(record.index)]
            wrong = [name for name in ("clean_pred", "adv_pred", "success") if row[name] != str(getattr(record, name))]
            if record.adv_pred >= 0 and not math.isclose(float(row["l2"]), record.l2, rel_tol=0.01, abs_tol=1e-6):
                wrong.append("l2")  # of a clip that diverged it is no number
            if wrong:
                name = wrong[0]
                raise RunError(
                    f"clip {record.name} came out with {name}={getattr(record, name)}, its row in {self._csv} says "
                    f"{row[name]}: another machine or version made it, so delete {self.path} or set runtime.output_dir"
                )

    def append(self, records: Sequence[Record] | Sequence[CertificateRecord]) -> None:
        """Add rows in one write and see them on the disk."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows([getattr(record, column) for column in self._columns] for record in records)
        with open(self._csv, "ab") as file:
            file.write(text.getvalue().encode())
            file.flush()
            os.fsync(file.fileno())

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write ``run.json`` atomically: the rows are as many as it says, and they are all there."""
        self._replace(self._json, json.dumps(summary, indent=2, sort_keys=True) + "\n")

    def _replace(self, path: Path, text: str) -> None:
        part = path.with_suffix(".part")
        with open(part, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file's object; raises ``RunError`` if it is damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}): delete it and run again") from None


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def provenance(device: str) -> dict[str, Any]:
    """What a number's reader may ask later: versions, commit, machine."""
    changes = _git("status", "--porcelain", "--untracked-files=no")
    packages = ("skeleton_adv", "torch", "numpy", "scipy", "hydra-core", "omegaconf")
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": None if changes is None else bool(changes),
        "device": device,
        "platform": platform.platform(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """Answer of git about the repository that this package lies in; None if it lies in none, or without git."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return None
    try:
        answer = subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None

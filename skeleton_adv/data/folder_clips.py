"""One clip file of a user's folder: ``.npy``, ``.npz`` or ``.csv`` -> an array and, if known, which joints exist."""

import math
import zipfile
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.folder_labels import rows_of
from skeleton_adv.data.npz import DAMAGED, npy_array, reason_of

MOST_FRAMES = 200_000
MOST_PERSONS = 100
Values = tuple[np.ndarray, np.ndarray | None]


def read_clip_file(path: Path, skeleton: Skeleton) -> Values:
    """The clip (T, V, C) or (C, T, V, M) of a file, and its mask if it has one.

    - ``.npy``: the clip;
    - ``.npz``: the array ``x``, or the only one, and, if wanted, ``mask`` (T, V) or (T, V, M);
    - ``.csv``: columns ``frame,person,joint,x,y``, and ``z`` and ``score`` as the skeleton has them. Frames are whole
      numbers; the clip starts at the smallest. Persons are any whole numbers, in order of first appearance; that
      column may be left out. Joints are names or numbers from 0. What is not listed, or is empty, does not exist.

    Nothing is unpickled. Raises ``DataError`` naming the file, and the line of a ``.csv``.
    """
    if path.suffix.lower() == ".csv":
        return _csv(path, skeleton), None
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                return npy_array(file, path.stat().st_size), None
        return _npz(path)
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: not a readable {path.suffix} file ({reason_of(error)})") from None


def _npz(path: Path) -> Values:
    with zipfile.ZipFile(path) as archive:
        members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        names = sorted({*members} - {"mask"})
        name = "x" if "x" in names else names[0] if len(names) == 1 else ""
        if not name or len(names) > 1:
            found = ", ".join(one[:30] for one in names[:5]) or "no array"
            raise DataError(f"{path}: contains {found}: save the clip as x, and which joints exist as mask")
        arrays = {}
        for key in (name, *({"mask"} & {*members})):
            with archive.open(members[key]) as file:
                arrays[key] = npy_array(file, members[key].file_size)
    return arrays[name], arrays.get("mask")


def _csv(path: Path, skeleton: Skeleton) -> np.ndarray:
    """(C, T, V, M) from a table with a row per joint; NaN where it has none."""
    axes = ["x", "y", "z"][: len(skeleton.coords)]
    known = ("frame", "person", "joint", "x", "y", "z", "score")
    numbers = {name: place for place, name in enumerate(skeleton.joints)}
    places: dict[tuple[int, int, int], tuple[int, list[float]]] = {}  # frame, person, joint -> line, values
    for line, cells in rows_of(path, known, ("frame", "joint", *axes)):
        where = f"{path}:{line}"
        _check_columns(where, cells, skeleton)
        frame = _whole(where, "frame", cells["frame"])
        person = _whole(where, "person", cells["person"]) if "person" in cells else 0
        joint = _joint(where, cells["joint"], numbers)
        if (frame, person, joint) in places:
            before = places[frame, person, joint][0]
            raise DataError(f"{where}: joint {cells['joint']} of this frame and person is also in line {before}")
        held = [*axes, *(("score",) if "score" in cells else ())]
        places[frame, person, joint] = line, [_real(where, name, cells[name]) for name in held]
    if not places:
        raise DataError(f"{path}: contains no row: add one for each frame and joint, or remove the clip")
    return _filled(path, places, skeleton.num_joints)


def _filled(path: Path, places: dict[tuple[int, int, int], tuple[int, list[float]]], joints: int) -> np.ndarray:
    first, last = min(frame for frame, _, _ in places), max(frame for frame, _, _ in places)
    if last - first >= MOST_FRAMES:
        raise DataError(f"{path}: frames {first} to {last} are more than {MOST_FRAMES:,}: repair the column frame")
    persons = {person: None for _, person, _ in sorted(places, key=lambda place: place[0])}  # as they first appear
    if len(persons) > MOST_PERSONS:
        raise DataError(f"{path}: {len(persons)} persons are more than {MOST_PERSONS}: repair the column person")
    order = {person: place for place, person in enumerate(persons)}
    channels = len(next(iter(places.values()))[1])
    clip = np.full((channels, last - first + 1, joints, len(order)), np.nan)
    for (frame, person, joint), (_, values) in places.items():
        clip[:, frame - first, joint, order[person]] = values
    return clip


def _check_columns(where: str, cells: dict[str, str], skeleton: Skeleton) -> None:
    if "z" in cells and len(skeleton.coords) < 3:
        raise DataError(f"{where}: there is a column z: set coordinates: 3 in skeleton.yaml, or remove the column")
    if "score" in cells and not skeleton.scores:
        raise DataError(f"{where}: there is a column score: set score: true in skeleton.yaml, or remove the column")


def _whole(where: str, name: str, cell: str) -> int:
    digits = cell.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise DataError(f"{where}: {name} {cell[:40]!r} must be a whole number")
    return int(cell)


def _real(where: str, name: str, cell: str) -> float:
    if not cell:
        return math.nan
    try:
        return float(cell if cell.isascii() and "_" not in cell else "no")
    except ValueError:
        raise DataError(
            f"{where}: {name} {cell[:40]!r} must be a number, or empty if the joint does not exist"
        ) from None


def _joint(where: str, cell: str, numbers: dict[str, int]) -> int:
    if cell in numbers:
        return numbers[cell]
    if cell.isascii() and cell.isdigit() and len(cell) < 10 and int(cell) < len(numbers):
        return int(cell)
    hint = f"numbers are 0 to {len(numbers) - 1}" if cell.isdigit() else nearest(cell[:50], [*numbers])
    raise DataError(f"{where}: joint {cell[:40]!r} is unknown: {hint}")

"""The labels of a user's folder: ``labels.csv`` and ``classes.txt``."""

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path, PurePosixPath

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.data.dataset import Clip, Split

SUFFIXES = (".npz", ".npy", ".csv")
COLUMNS = ("file", "label", "subject", "split")  # the first two are required
LISTS = ("labels.csv",)
BEGINNINGS = {
    "labels.csv": "with the lines 'file,label' and 'walk_01.npy,walk'",
    "skeleton.yaml": "with the lines 'like: ntu25', 'unit: m' and 'fps: 30'",
}
SPLITS: Mapping[str, Split] = {"train": "train", "test": "test"}
MOST_CLASSES = 10_000
Row = tuple[str, Mapping[str, str]]  # its place, file and line, and its cells


@dataclass(frozen=True)
class Labels:
    """The clips of a folder, in the order of ``labels.csv``."""

    clips: tuple[Clip, ...]
    files: Mapping[str, str]  # name of a clip -> its file, relative to the folder
    classes: tuple[str, ...]
    subjects: Mapping[str, str]  # name of a clip -> its subject; empty without a column ``subject``


def read_labels(folder: Path, test_subjects: Sequence[str] = ()) -> Labels:
    """What ``labels.csv`` in ``folder`` says: ``file,label`` and, if known, ``subject`` and ``split``.

    A file is named relative to the folder, with or without its suffix. A label is a whole number from 0 or the name
    of a class. ``classes.txt`` has the name of a class per line, in the order of the labels; without it, names are
    sorted, and numbers are ``class_0``, ``class_1``, ... The split is ``train`` or ``test``; without that column,
    clips of ``test_subjects`` test and all others train; without these, all clips test. Raises ``DataError`` in
    one line with file and line, also for a clip file that is not listed.
    """
    path = folder / "labels.csv"
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path}: lists no clip: add a line such as walk_01.npy,walk")
    files: dict[str, str] = {}
    for place, cells in rows:
        file = _file(folder, cells["file"], place)
        name = str(PurePosixPath(file).with_suffix(""))
        if name in files:
            raise DataError(f"{place}: {files[name]} is listed before under this name: remove a line or rename a file")
        files[name] = file
    _check_listed(folder, set(files.values()))
    classes, labels = _labels(folder, rows)
    splits = _splits(path, rows, test_subjects)
    clips = tuple(Clip(*facts) for facts in zip(files, labels, splits, strict=True))
    subjects = {name: cells["subject"] for name, (_, cells) in zip(files, rows, strict=True) if "subject" in cells}
    return Labels(clips, files, classes, subjects)


def text_of(path: Path) -> str:
    """A text file in UTF-8; raises ``DataError`` naming the file, and what it must begin with if it is missing."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        begin = BEGINNINGS.get(path.name)
        raise DataError(
            f"{path} does not exist: " + (f"write it, for example {begin}" if begin else "add it")
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is not a readable text file in UTF-8 ({error})") from None


def rows_of(path: Path, known: Sequence[str], required: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells of each row of a CSV file with a header of ``known`` columns, in any order.

    Blank lines are skipped. Raises ``DataError`` with file and line.
    """
    reader = csv.reader(StringIO(text_of(path), newline=""), strict=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        for name in header:
            if name not in known:
                raise DataError(f"{path}:1: unknown column {name!r}: {nearest(name, [*known])}")
        missing = [name for name in required if name not in header]
        if missing or len(set(header)) < len(header):
            what = f"no column {missing[0]!r}" if missing else "a column twice"
            raise DataError(f"{path}:1: the header has {what}: it must be {','.join(required)} and, if known, others")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise DataError(f"{path}:{reader.line_num}: {len(cells)} cells, but the header has {len(header)}")
            yield reader.line_num, {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not CSV ({error})") from None


def _rows(path: Path) -> Iterator[Row]:
    for line, cells in rows_of(path, COLUMNS, COLUMNS[:2]):
        for name, cell in cells.items():
            if not cell or not cell.isprintable():
                raise DataError(f"{path}:{line}: {name} is {cell!r}: fill in the cell")
        yield f"{path}:{line}", cells


def _file(folder: Path, named: str, place: str) -> str:
    """The file that a row names, relative to the folder; raises ``DataError`` unless exactly one exists."""
    plain = PurePosixPath(named)
    if plain.is_absolute() or ".." in plain.parts:
        raise DataError(f"{place}: {named} is not a path below the folder of labels.csv: use one relative to it")
    if plain.suffix.lower() in SUFFIXES:
        found = [plain] if (folder / plain).is_file() else []
    else:
        endings = [PurePosixPath(f"{plain}{suffix}") for suffix in SUFFIXES]
        found = [path for path in endings if (folder / path).is_file()]
    if len(found) != 1:
        what = f"is {' and '.join(map(str, found))}" if found else "does not exist"
        raise DataError(
            f"{place}: {named} {what}: " + ("add its suffix" if found else "add the file or remove the line")
        )
    if str(found[0]) in LISTS:
        raise DataError(f"{place}: {named} is the list of labels itself: remove the line")
    return str(found[0])


def _check_listed(folder: Path, listed: set[str]) -> None:
    """Raise ``DataError`` naming the first clip file below the folder that is not listed; hidden ones are no clips."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(place, name).relative_to(folder).as_posix()
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(".") and file not in {*listed, *LISTS}:
                raise DataError(
                    f"{folder / file} is not listed in labels.csv: add a line for it, or move the file away"
                )


def _labels(folder: Path, rows: Sequence[Row]) -> tuple[tuple[str, ...], list[int]]:
    """The classes, and the label of each row."""
    path = folder / "classes.txt"
    texts = [cells["label"] for _, cells in rows]
    numbers = [_number(label) for label in texts]
    if path.exists():
        classes = _classes(path)
    elif all(number is None for number in numbers):
        classes = tuple(sorted(set(texts)))
    else:
        classes = _counted(rows, numbers)
    if len(classes) < 2:
        raise DataError(
            f"{folder / 'labels.csv'}: all clips have the label {texts[0]}: a recogniser requires two classes"
        )
    labels = []
    for (place, _), label, number in zip(rows, texts, numbers, strict=True):
        if number is None and label not in classes:
            raise DataError(f"{place}: label {label!r} is not in classes.txt: {nearest(label, [*classes])}")
        if number is not None and number >= len(classes):
            raise DataError(f"{place}: label {number} is not 0 to {len(classes) - 1}, the lines of classes.txt")
        labels.append(classes.index(label) if number is None else number)
    return classes, labels


def _number(label: str) -> int | None:
    return int(label) if label.isascii() and label.isdigit() and len(label) < 10 else None


def _counted(rows: Sequence[Row], numbers: Sequence[int | None]) -> tuple[str, ...]:
    """Names of classes that are only numbered; raises ``DataError`` for a name among the numbers, or for a gap."""
    for (place, cells), number in zip(rows, numbers, strict=True):
        if number is None:
            raise DataError(
                f"{place}: label {cells['label']!r} is a name, others are numbers: list names in classes.txt"
            )
    found = {number for number in numbers if number is not None}
    gap = next(number for number in range(len(found) + 1) if number not in found)
    if gap < len(found):
        raise DataError(
            f"{rows[0][0].rpartition(':')[0]}: no clip has label {gap}, but one has {max(found)}: count labels from 0 "
            "without gaps, or list all classes in classes.txt"
        )
    return tuple(f"class_{number}" for number in range(len(found)))


def _classes(path: Path) -> tuple[str, ...]:
    """The lines of ``classes.txt``."""
    lines = text_of(path).rstrip().splitlines()
    if len(lines) > MOST_CLASSES:
        raise DataError(f"{path}: {len(lines)} lines, more than {MOST_CLASSES} classes")
    found: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        name = line.strip()
        if not name or not name.isprintable() or _number(name) is not None:
            raise DataError(f"{path}:{number}: {name!r} is no name of a class: write one name per line, not a number")
        if name in found:
            raise DataError(f"{path}:{number}: {name!r} is also in line {found[name]}: each class has one line")
        found[name] = number
    return tuple(found)


def _splits(path: Path, rows: Sequence[Row], test_subjects: Sequence[str]) -> list[Split]:
    """The split of each row."""
    columns = rows[0][1]
    if "split" in columns:
        if test_subjects:
            raise SettingError(f"dataset.test_subjects has no effect: {path} has a column split: remove one")
        for place, cells in rows:
            if cells["split"] not in SPLITS:
                raise DataError(f"{place}: split {cells['split']!r} is unknown: {nearest(cells['split'], [*SPLITS])}")
        return [SPLITS[cells["split"]] for _, cells in rows]
    if not test_subjects:
        return ["test"] * len(rows)
    if "subject" not in columns:
        raise SettingError(f"dataset.test_subjects={list(test_subjects)}: {path} has no column subject: add it")
    subjects = {cells["subject"] for _, cells in rows}
    for one in test_subjects:
        if one not in subjects:
            raise SettingError(f"dataset.test_subjects: {path} has no subject {one}: {nearest(one, [*subjects])}")
    return ["test" if cells["subject"] in test_subjects else "train" for _, cells in rows]

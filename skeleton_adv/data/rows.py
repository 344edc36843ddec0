"""Large arrays in ``.npy`` and ``.npz`` files, read row by row in constant memory."""

import math
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import unpack
from typing import IO, NoReturn

import numpy as np

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.data.npz import DAMAGED, reason_of

MOST_BYTES = 2**30  # of an array that is loaded whole
SEEK = 2**20  # bytes that are decompressed at once to reach a row
LOCAL_HEADER = 30  # bytes of the header of a member of a zip file, before its name


@dataclass(frozen=True)
class Rows:
    """An array in a ``.npy`` file, or in the member ``key`` of an ``.npz`` file, that is not loaded.

    ``start`` is the position of the first row in the file; None if the member is compressed, so that it can
    only be read from its start.
    """

    path: Path
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    start: int | None

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    def where(self, number: int) -> str:
        """The file and the entry, counted from 0, as messages name them."""
        return f"{self.path}: entry {number} of {self.key or 'the array'}"

    def row(self, number: int) -> np.ndarray:
        """One row; raises ``DataError`` if the file ends before its end."""
        return next(self.each((number,)))

    def each(self, numbers: Sequence[int]) -> Iterator[np.ndarray]:
        """The rows with these increasing numbers, each read when it is needed; raises ``DataError`` for damage."""
        with _file_of(self) as (file, start):
            position = 0
            for number in numbers:
                try:
                    if self.start is None:
                        _pass_over(file, (number - position) * self.row_bytes)
                    else:
                        file.seek(start + number * self.row_bytes)
                    content = file.read(self.row_bytes)
                    if number == len(self) - 1:
                        file.read(1)  # at its end, the checksum of a compressed member is compared
                except DAMAGED as error:
                    refuse(self.where(number), error)
                if len(content) != self.row_bytes:
                    raise DataError(f"{self.where(number)}: the file ends here: download or make it again")
                position = number + 1
                yield np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def loaded(self) -> np.ndarray:
        """The whole array, if it is small; raises ``DataError`` if it is damaged."""
        if len(self) * self.row_bytes > MOST_BYTES:
            raise DataError(f"{self.path}: {self.key or 'the array'} has the shape {self.shape}, which is too large")
        rows = list(self.each(range(len(self))))
        return np.stack(rows) if rows else np.empty(self.shape, self.dtype)


def npy_rows(path: Path) -> Rows:
    """The array of a ``.npy`` file; raises ``DataError`` naming the file if its header or size is wrong."""
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file)
            return _fitting(Rows(path, "", shape, dtype, file.tell()), path.stat().st_size - file.tell())
    except DAMAGED as error:
        refuse(str(path), error)


def npz_rows(path: Path, key: str) -> Rows:
    """The array ``key`` of an ``.npz`` file; raises ``DataError`` naming the file if it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            if key not in members:
                raise DataError(f"{path}: contains no array {key}: {nearest(key, [one[:30] for one in members])}")
            member = members[key]
            with archive.open(member) as file:
                shape, dtype = _header(file)
                before = file.tell()
        stored = member.compress_type == zipfile.ZIP_STORED
        start = _start(path, member) + before if stored else None
        return _fitting(Rows(path, key, shape, dtype, start), member.file_size - before)
    except DAMAGED as error:
        refuse(str(path), error)


def refuse(where: str, error: Exception) -> NoReturn:
    """Raise ``DataError`` in one line for an error while a file is read."""
    if isinstance(error, DataError):
        raise error
    raise DataError(f"{where}: damaged or not readable ({reason_of(error)}): download or make the file again") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.kind not in "fiub":
        raise ValueError(f"it contains {dtype}, not numbers")
    if not shape or (fortran and len(shape) > 1) or min(shape) < 0:
        raise ValueError(f"an array of shape {shape}{' in Fortran order' if fortran else ''}")
    return shape, dtype


def _fitting(rows: Rows, size: int) -> Rows:
    """The rows; raises ``ValueError`` if the file has not as many bytes as its header says."""
    wanted = len(rows) * rows.row_bytes
    if wanted != size:
        raise ValueError(f"{rows.key or 'the array'} has the shape {rows.shape}, {wanted:,} bytes, but {size:,} follow")
    return rows


def _start(path: Path, member: zipfile.ZipInfo) -> int:
    """The position of the first byte of a member that is not compressed."""
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(LOCAL_HEADER)
    name, extra = unpack("<HH", header[26:LOCAL_HEADER])
    return int(member.header_offset + LOCAL_HEADER + name + extra)


@contextmanager
def _file_of(rows: Rows) -> Iterator[tuple[IO[bytes], int]]:
    """An open file at the first row, and the position of this row."""
    try:
        if rows.start is not None:
            with rows.path.open("rb") as file:
                yield file, rows.start
        else:
            with zipfile.ZipFile(rows.path) as archive, archive.open(f"{rows.key}.npy") as member:
                _header(member)
                yield member, 0
    except DAMAGED as error:
        refuse(str(rows.path), error)


def _pass_over(file: IO[bytes], count: int) -> None:
    while count > 0:
        part = len(file.read(min(count, SEEK)))
        if not part:
            return
        count -= part

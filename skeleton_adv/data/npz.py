"""Arrays in ``.npy`` and ``.npz`` files of unknown origin: nothing is unpickled, and no header allocates memory."""

import math
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from tokenize import TokenError
from typing import IO

import numpy as np

from skeleton_adv.core.errors import DataError

MOST_BYTES = 2**29  # of one array: an hour of two persons at 30 frames per second has a tenth of it
DAMAGED = (  # what NumPy and zipfile raise for a damaged file, whose header NumPy reads as Python
    *(ValueError, OSError, EOFError, MemoryError, RuntimeError, SyntaxError, TokenError, TypeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, NotImplementedError),
)


def npz_arrays(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of these names in an ``.npz`` file; raises ``DataError`` naming the file and the damaged array."""
    entry = ""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
            missing = next((name for name in names if name not in members), "")
            if missing:
                raise DataError(f"{path}: contains no array {missing}")
            arrays = {}
            for entry in names:
                with archive.open(members[entry]) as file:
                    arrays[entry] = npy_array(file, members[entry].file_size)
            return arrays
    except DAMAGED as error:
        if isinstance(error, DataError):
            raise
        where = f"{path}: {entry}" if entry else f"{path}"
        raise DataError(f"{where}: not a readable .npz file ({reason_of(error)})") from None


def reason_of(error: Exception) -> str:
    """The error's message in one short line."""
    message = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(message.split())[:120] or type(error).__name__


def npy_array(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an open ``.npy`` file of ``size`` bytes; its header is compared with the size before any memory."""
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version} of the format")
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it contains Python objects, which are never loaded")
    wanted = math.prod(shape) * dtype.itemsize
    if not 0 <= wanted <= min(size, MOST_BYTES):
        raise ValueError(f"its header says {wanted:,} bytes, but it has {min(size, MOST_BYTES):,} at most")
    content = file.read(wanted)
    if len(content) != wanted:
        raise ValueError(f"it ends after {len(content):,} of {wanted:,} bytes")
    flat = np.frombuffer(content, dtype)
    return flat.reshape(shape, order="F" if fortran else "C")

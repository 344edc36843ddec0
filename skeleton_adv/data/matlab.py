"""Reading of arrays from MATLAB 5 files (.mat).

``scipy.io.loadmat`` is not used, because it crashes the process on some damaged files and allocates
gigabytes for a small file that decompresses to that size.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from skeleton_adv.core.errors import DataError

MOST_BYTES = 16 << 20  # of a file, and of each decompressed variable
_MATRIX, _COMPRESSED = 14, 15  # kinds of elements
# Kinds of elements that contain numbers, with their types.
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_CLASSES = {6: np.float64, 7: np.float32}  # classes of arrays
_COMPLEX = 0x800


def read_array(path: Path, name: str) -> np.ndarray:
    """The variable ``name`` in a file, a real array of float64 or float32.

    Raises ``DataError`` if the file is damaged or too large, or contains no such array.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
        content = path.read_bytes()
        order = {b"\0\1IM": "<", b"\1\0MI": ">"}.get(content[124:128])
        if order is None:
            raise ValueError("not a MATLAB 5, 6 or 7 file: save it with -v7")
        for kind, body in _elements(content[128:], order):
            if kind == _COMPRESSED:
                kind, body = next(_elements(_decompressed(body), order))
            parts = _elements(body, order)
            (_, flags), (_, shape), (_, own_name) = next(parts), next(parts), next(parts)
            if kind == _MATRIX and own_name == name.encode():
                return _array(flags, shape, *next(parts), order)
        raise ValueError(f"no variable '{name}'")
    except (ValueError, struct.error, zlib.error, OSError, StopIteration) as error:
        raise DataError(f"{path}: not a readable MATLAB file ({str(error) or 'it ends too early'})") from None


def _elements(content: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """The kind and content of each element of a file or an array."""
    place = 0
    while place < len(content):
        kind, size = struct.unpack_from(f"{order}II", content, place)
        start, padding = place + 8, 0 if kind == _COMPRESSED else -size % 8
        if kind >> 16:  # a small element: at most four bytes, stored in the place of the size
            kind, size, start, padding = kind & 0xFFFF, kind >> 16, place + 4, 0
        place = max(place + 8, start + size + padding)
        if start + size > len(content) or (start == place - 4 and size > 4):
            raise ValueError("an element is longer than its container")
        yield kind, content[start : start + size]


def _decompressed(content: bytes) -> bytes:
    decoder = zlib.decompressobj()
    found = decoder.decompress(content, MOST_BYTES)
    if not decoder.eof:
        raise ValueError(f"a variable ends too early, or has more than {MOST_BYTES >> 20} MiB")
    return found


def _array(flags: bytes, shape: bytes, kind: int, values: bytes, order: str) -> np.ndarray:
    flag = struct.unpack_from(f"{order}I", flags)[0]
    if flag & 0xFF not in _CLASSES or flag & _COMPLEX or kind not in _NUMBERS:
        raise ValueError("the variable is not an array of real floating-point numbers")
    sizes = np.frombuffer(shape, f"{order}i4")
    if (sizes < 0).any():
        raise ValueError(f"its shape is {sizes.tolist()}")
    numbers = np.frombuffer(values, f"{order}{_NUMBERS[kind]}").astype(_CLASSES[flag & 0xFF])
    return numbers.reshape(sizes.tolist(), order="F")

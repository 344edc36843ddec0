"""MATLAB files written by scipy or byte by byte: some are read, others are refused before they are read."""

import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.matlab import MOST_BYTES, read_array

MIB = 1 << 20
LARGE = 4 * MOST_BYTES
HEADER = b"MATLAB 5.0 MAT-file".ljust(124) + struct.pack("<H", 0x0100) + b"IM"
CELL, DOUBLE = 1, 6  # classes of arrays
INT8, FLOAT64, MATRIX, COMPRESSED = 1, 9, 14, 15  # kinds of elements


def element(kind: int, content: bytes) -> bytes:
    return struct.pack("<II", kind, len(content)) + content + bytes(-len(content) % 8)


def variable(name: str, shape: tuple[int, ...], content: bytes, kind: int = DOUBLE) -> bytes:
    """A compressed variable; ``content`` is what follows its name."""
    flags, dims = element(6, struct.pack("<II", kind, 0)), element(5, struct.pack(f"<{len(shape)}i", *shape))
    packed = zlib.compress(element(MATRIX, flags + dims + element(1, name.encode()) + content))
    return struct.pack("<II", COMPRESSED, len(packed)) + packed


def write(folder: Path, *variables: bytes) -> Path:
    path = folder / "x.mat"
    path.write_bytes(HEADER + b"".join(variables))
    return path


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(20, 3, 50), (1, 1), (3, 0), (2, 1, 2, 3)])
def test_files_of_scipy_are_read(packed: bool, dtype: type, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=shape).astype(dtype)
    others = {"a": np.arange(3), "b_is_a_longer_name": "text", "c": {"field": 1.0}}
    savemat(tmp_path / "x.mat", {**others, "x": array, "z": array + 1}, do_compression=packed)
    found = read_array(tmp_path / "x.mat", "x")
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, array)


def test_small_whole_numbers_are_kept_in_a_byte_each(tmp_path: Path) -> None:
    path = write(tmp_path, variable("x", (2, 3), element(INT8, bytes([1, 255, 3, 4, 5, 6]))))
    assert read_array(path, "x").tolist() == [[1, 3, 5], [-1, 4, 6]]


def test_the_other_byte_order(tmp_path: Path) -> None:
    parts = ((6, ">II", (DOUBLE, 0)), (5, ">2i", (1, 2)), (1, ">1s7x", (b"x",)), (FLOAT64, ">2d", (0.5, -2.0)))
    sizes = (8, 8, 1, 16)
    body = b"".join(
        struct.pack(">II", kind, size) + struct.pack(form, *values)
        for (kind, form, values), size in zip(parts, sizes, strict=True)
    )
    path = tmp_path / "x.mat"
    path.write_bytes(HEADER[:124] + struct.pack(">H", 0x0100) + b"MI" + struct.pack(">II", MATRIX, len(body)) + body)
    assert read_array(path, "x").tolist() == [[0.5, -2.0]]


BOMBS = {
    "a large array": lambda: variable("x", (LARGE // 8, 1), element(FLOAT64, bytes(LARGE))),
    "more than its shape": lambda: variable("x", (2, 1), element(FLOAT64, bytes(LARGE))),
    "another variable": lambda: variable("other", (LARGE // 8, 1), element(FLOAT64, bytes(LARGE))),
    "a cell": lambda: variable("x", (1, 1), element(MATRIX, bytes(LARGE)), CELL),
    "a large file": lambda: element(MATRIX, bytes(LARGE)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_large_file_is_refused_before_it_is_in_memory(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, BOMBS[kind](), variable("x", (1, 1), element(FLOAT64, bytes(8))))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\.mat.* 16 MiB"):
            read_array(path, "x")
        assert tracemalloc.get_traced_memory()[1] < LARGE * 3 / 4
    finally:
        tracemalloc.stop()


GOOD = variable("x", (1, 2), element(FLOAT64, bytes(16)))
DAMAGED = {
    "empty": b"",
    "no MATLAB": b"hello, this is no such file" * 20,
    "version 7.3": HEADER[:124] + struct.pack("<H", 0x0200) + b"IM" + GOOD,
    "no variable": HEADER,
    "of another name": HEADER + variable("y", (1, 2), element(FLOAT64, bytes(16))),
    "cut": (HEADER + GOOD)[:-9],
    "too few values": HEADER + variable("x", (1, 2), element(FLOAT64, bytes(8))),
    "no values": HEADER + variable("x", (1, 2), b""),
    "negative": HEADER + variable("x", (-1, 2), element(FLOAT64, bytes(16))),
    "text as values": HEADER + variable("x", (1, 2), element(16, bytes(16))),
    "a long small element": HEADER + struct.pack("<II", 9 << 16 | 1, 0) + GOOD,
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_file_is_named_in_one_line(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.mat"
    path.write_bytes(HEADER + GOOD)
    assert read_array(path, "x").shape == (1, 2)
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(DataError, match=r"x\.mat: not a readable MATLAB file [^\n]*$"):
        read_array(path, "x")


@pytest.mark.parametrize(
    "array", [np.zeros((2, 3), np.int32), np.zeros((2, 3), np.complex128), np.full(3, "x")], ids=str
)
def test_an_array_of_another_kind_is_refused(array: np.ndarray, tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"x": array})
    with pytest.raises(DataError, match="real floating-point numbers"):
        read_array(tmp_path / "x.mat", "x")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"x\.mat"):
        read_array(tmp_path / "x.mat", "x")

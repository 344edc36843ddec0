"""The reader that reads a whole .skeleton file at once equals the one that reads it line by line."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skeleton_adv.core.errors import DataError
from skeleton_adv.data import ntu
from skeleton_adv.data.decimals import decimals
from skeleton_adv.data.ntu import read_skeleton_file, write_skeleton_file

NUMBERS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(-10, 10, width=32).map(lambda value: f"{value:.7f}"),
    st.decimals(-1000, 1000, places=9).map(str),
    st.sampled_from(
        ["-0", "0.", ".5", "-.5", "1e-3", "-5.960464E-08", "+1", "1_0", "inf", "9" * 15, "9" * 16, "9" * 40]
    ),
    st.text("0123456789", min_size=1, max_size=30),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NUMBERS, min_size=1, max_size=12))
def test_decimals_are_those_of_float(words: list[str]) -> None:
    text = np.frombuffer(" ".join(words).encode(), np.uint8)
    ends = np.cumsum([len(word) + 1 for word in words]) - 1
    starts = ends - [len(word) for word in words]
    found, expected = decimals(text, starts, ends), np.array([float(word) for word in words])
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("word", ["", "-", ".", "1.2.3", "x", "1-2", "--1", "1 2", "0x1", "1\x00"])
def test_what_is_no_number_is_refused(word: str) -> None:
    text = np.frombuffer(f"1 {word}".encode(), np.uint8)
    with pytest.raises(ValueError, match=r"float|could not"):
        decimals(text, np.array([0, 2]), np.array([1, len(text)]))


def written(path: Path, frames: int = 6, seed: int = 0) -> bytes:
    """A file with up to five bodies in a frame, and frames without any."""
    rng = np.random.default_rng(seed)
    listed = rng.random((frames, 5)) < 0.5
    listed[0, 0] = True
    write_skeleton_file(path, rng.normal(size=(frames, 5, 25, 3)), listed)
    return path.read_bytes()


def outcome(read: Callable[[], ntu.RawClip]) -> bytes | str:
    try:
        return b"".join(array.tobytes() for array in read())
    except DataError as error:
        return str(error)


def test_files_of_both_line_ends_are_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "S001C001P001R001A001.skeleton"
    for seed in range(5):
        content = written(path, seed=seed)
        for text in (content, content.replace(b"\n", b"\r\n"), content.rstrip(b"\n"), content + b"\n\nmore"):
            found = ntu._at_once(text)
            assert found is not None or text.endswith(b"more")
            if found is not None:
                assert outcome(lambda: found) == outcome(lambda: ntu._line_by_line(path, text))  # noqa: B023


def test_changed_files_are_read_or_refused_alike(tmp_path: Path) -> None:
    """Any change gives the same numbers, or the same message."""
    path, rng = tmp_path / "S001C001P001R001A001.skeleton", random.Random(0)
    content = written(path, frames=3)
    pieces = [
        b" ",
        b"\n",
        b"-",
        b".",
        b"e",
        b"\t",
        b"\r",
        b"\xff",
        b"25\n",
        b"1",
        b"9" * 30,
        b"\x0c",
        b"",
        b"nan",
        b"_",
    ]
    refused = 0
    for _ in range(400):
        place, length = rng.randrange(len(content)), rng.choice([0, 0, 1, 1, 2, 60])
        path.write_bytes(content[:place] + rng.choice(pieces) + content[place + length :])
        changed = path.read_bytes()
        now = outcome(lambda: read_skeleton_file(path))
        assert now == outcome(lambda: ntu._line_by_line(path, changed))  # noqa: B023
        refused += isinstance(now, str)
    assert 50 < refused < 390


def test_official_files_are_read_at_once(shared: Path) -> None:
    for path in shared.glob("golden/ntu_raw*/*.skeleton"):
        content = path.read_bytes()
        found = ntu._at_once(content)
        assert found is not None and outcome(lambda: found) == outcome(lambda: ntu._line_by_line(path, content))  # noqa: B023

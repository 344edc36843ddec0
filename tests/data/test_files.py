"""Folders of files: the listing, and messages about folders that cannot be listed."""

import re
from pathlib import Path

import pytest

from skeleton_adv.core.errors import DataError
from skeleton_adv.data.files import file_facts, named_files

NAME = re.compile(r"a([1-9])_s(\d+)\.txt")


def test_files_are_sorted_with_the_numbers_in_their_names(tmp_path: Path) -> None:
    for name in ("a2_s10.txt", "a1_s03.txt", "README.md"):
        (tmp_path / name).write_text("")
    assert named_files(str(tmp_path), NAME, "a1_s1.txt") == [
        (tmp_path / "a1_s03.txt", (1, 3)),
        (tmp_path / "a2_s10.txt", (2, 10)),
    ]


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dataset\.root=.*nowhere"):
        named_files(str(tmp_path / "nowhere"), NAME, "a1_s1.txt")
    with pytest.raises(DataError, match=r"no \.txt file"):
        named_files(str(tmp_path), NAME, "a1_s1.txt")
    (tmp_path / "a0_s1.txt").write_text("")
    with pytest.raises(DataError, match=r"a0_s1\.txt"):
        named_files(str(tmp_path), NAME, "a1_s1.txt")


def test_facts_of_a_file_that_is_not_accessible(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("four")
    assert file_facts(tmp_path / "a")[:2] == ("a", 4)
    for name in ("b", "c\0", "a/b"):
        with pytest.raises(DataError, match="is not accessible"):
            file_facts(tmp_path / name)

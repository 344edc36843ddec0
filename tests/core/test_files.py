"""Files are written whole or not at all."""

import json
from pathlib import Path

import pytest

from skeleton_adv.core.errors import CheckpointError, RunError
from skeleton_adv.core.files import digest, read_json, whole, write_json, write_whole


def test_an_interrupted_write_leaves_only_the_old_file(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "new" / "file.txt", "old")

    def interrupted() -> None:
        with whole(path) as part:
            part.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and list(path.parent.iterdir()) == [path]


def test_objects_are_read_back_and_damage_is_reported(tmp_path: Path) -> None:
    path = write_json(tmp_path / "a.json", {"b": 1, "a": [2]}, sort_keys=True)
    assert read_json(path) == json.loads(path.read_text()) == {"a": [2], "b": 1}
    assert list(read_json(path)) == ["a", "b"]
    for content in (b"", b"[1]", b"\xff", b"{", b"[" * 100_000):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"a\.json is damaged"):
            read_json(path)
    with pytest.raises(CheckpointError, match=r"a\.json is damaged"):
        read_json(path, CheckpointError)


def test_a_digest_is_the_hash_of_the_bytes(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a", b"abc")
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

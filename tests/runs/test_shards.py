"""Shards of a run: whole chunks that share no clip, joined by tables, which refuse gaps and overlaps."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from samples import about, six_rows, write

from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.runs.load import load_run, load_runs
from skeleton_adv.runs.shards import Shard, with_shards


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "3/0", "-1/3", "1/3/5", "a/b", "1 / 3", "", "1/99999"])
def test_only_parts_are_shards(text: str) -> None:
    with pytest.raises(SettingError):
        Shard.parse(text)


@pytest.mark.parametrize(("clips", "size", "of"), [(10, 4, 3), (64, 64, 1), (1000, 64, 7), (5, 1, 5)])
def test_shards_are_whole_chunks_and_a_partition(clips: int, size: int, of: int) -> None:
    order = [*range(100, 100 + clips)]
    chunks = [order[start : start + size] for start in range(0, clips, size)]
    shards = [Shard(part, of).of_order(order, size) for part in range(1, of + 1)]
    assert sorted(number for shard in shards for number in shard) == order
    for shard in shards:
        assert [shard[start : start + size] for start in range(0, len(shard), size)] == [
            chunk for chunk in chunks if chunk[0] in shard
        ]


def made(root: Path, part: int, of: int, numbers: list[int], **facts: Any) -> Path:
    """The finished shard of a run of six clips."""
    rows = [row for row in six_rows() if row["index"] in numbers]
    shard = {"part": part, "of": of, "clips": 6}
    return write(root / Shard(part, of).folder, about(done=len(rows), shard=shard, **facts), rows)


def test_shards_are_joined_in_the_order_of_the_dataset(tmp_path: Path) -> None:
    whole = load_run(write(tmp_path / "whole" / "abc", about(), six_rows()))
    for part, numbers in ((2, [2, 3]), (1, [0, 1]), (3, [4, 5])):
        made(tmp_path / "parts" / "abc", part, 3, numbers)
    (run,), unfinished = load_runs(tmp_path / "parts")
    assert whole is not None and unfinished == [] and run.folder == tmp_path / "parts/abc"
    assert run.done == 6 and run.shard is None and run.identity == whole.identity
    pd.testing.assert_frame_equal(run.records, whole.records)
    one = tmp_path / "parts/abc/shard_2_of_3"
    assert with_shards([one]) == sorted(one.parent.iterdir()) and with_shards([tmp_path]) == [tmp_path]


def test_a_missing_shard_leaves_the_run_unfinished(tmp_path: Path) -> None:
    made(tmp_path / "abc", 1, 3, [0, 1])
    (made(tmp_path / "abc", 3, 3, [4, 5]) / "run.json").unlink()
    gap = [tmp_path / "abc" / name for name in ("shard_2_of_3", "shard_3_of_3")]
    assert load_runs(tmp_path) == ([], gap)
    with pytest.raises(RunError, match="shard_2_of_3"):
        load_runs(tmp_path, strict=True)


OVERLAPS = [
    ([(1, 2, [0, 1, 2], {}), (2, 2, [2, 3, 4, 5], {})], "two shards"),
    ([(1, 2, [0, 1, 2], {}), (2, 2, [3, 4], {})], "contain 5 clips, but the run has 6"),
    ([(1, 2, [0, 1, 2], {}), (1, 3, [0, 1], {})], "shards of 2 and of 3 parts"),
    ([(1, 2, [0, 1, 2], {}), (2, 2, [3, 4, 5], {"identity": "other"})], "another identity"),
    ([(1, 2, [0, 1, 2], {}), (2, 2, [3, 4, 5], {"settings": {"seed": 1}})], "another settings"),
]


@pytest.mark.parametrize(("parts", "message"), OVERLAPS, ids=[message for _, message in OVERLAPS])
def test_gaps_and_overlaps_are_refused(parts: list[Any], message: str, tmp_path: Path) -> None:
    for part, of, numbers, facts in parts:
        made(tmp_path / "abc", part, of, numbers, **facts)
    with pytest.raises(RunError, match=message) as caught:
        load_runs(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_run_that_was_also_made_as_a_whole_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "abc", about(), six_rows())
    made(tmp_path / "abc", 1, 2, [0, 1, 2])
    assert [run.done for run in load_runs(tmp_path)[0]] == [6]
    made(tmp_path / "abc", 2, 2, [3, 4, 5])
    assert [run.done for run in load_runs(tmp_path)[0]] == [6]
    facts = json.loads((tmp_path / "abc/run.json").read_text())
    assert "shard" not in facts

"""``batch_size=auto``: the size is decided once, found again, and halved if memory runs out before the first row."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from jobs import job_of
from torch import nn

from skeleton_adv import tasks
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.memory import free_memory
from skeleton_adv.models.network import Network
from skeleton_adv.tasks import sizing
from skeleton_adv.tasks.sizing import bytes_per_clip, in_equal_chunks

Words = list[str]


@pytest.fixture
def words(place: tuple[Path, Words], tmp_path: Path) -> Words:
    """An attack on 12 clips of a small victim."""
    folder, own = place
    own = [word.replace("small.safetensors", f"{folder}/small.safetensors") for word in own if "batch_size" not in word]
    return [*own, f"runtime.output_dir={tmp_path}/runs", f"runtime.cache_dir={tmp_path}/cache", "batch_size=auto"]


def made(words: Words) -> tuple[Path, int, pd.DataFrame]:
    """The folder of the run, its clips per chunk, and its rows."""
    folder = tasks.run(job_of(words))
    assert folder is not None
    begun = json.loads((folder / "begun.json").read_text())["doing"]["size"]
    assert json.loads((folder / "run.json").read_text())["settings"]["batch_size"] == begun
    return folder, begun, pd.read_csv(folder / "records.csv").drop(columns="seconds")


def full_above(clips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out in every pass on more than this number of clips."""
    forward = Network.forward

    def limited(self: Network, x: torch.Tensor, *arguments: Any) -> Any:
        if len(x) > clips:
            raise torch.OutOfMemoryError("injected")
        return forward(self, x, *arguments)

    monkeypatch.setattr(Network, "forward", limited)


def test_the_size_of_a_run_is_found_again(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if more memory is free by then, and for more clips; the rows are those of a run with this number."""
    folder, size, first = made([*words, "runtime.limit=5"])
    assert size == 5 and len(first) == 5
    monkeypatch.setattr(sizing, "free_memory", lambda device: 0)
    again, same, rows = made(words)
    assert (again, same, len(rows)) == (folder, 5, 12)
    plain = [word for word in words if "runtime.output_dir" not in word and word != "batch_size=auto"]
    _, _, known = made([*plain, "batch_size=5", f"runtime.output_dir={folder.parents[4]}/plain"])
    pd.testing.assert_frame_equal(rows, known)


def test_a_run_whose_size_is_damaged_is_not_found(words: Words) -> None:
    folder, _, _ = made([*words, "runtime.limit=5"])
    begun = json.loads((folder / "begun.json").read_text())
    (folder / "begun.json").write_text(json.dumps(begun | {"doing": ["damaged"]}))
    assert made([*words, "runtime.limit=6"])[1] == 6


def test_little_memory_makes_small_chunks(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "bytes_per_clip", lambda *_: 100)
    monkeypatch.setattr(sizing, "free_memory", lambda device: 2000)
    _, size, _ = made(words)
    assert size == 4  # five would fit; 12 clips need three chunks in any case


def test_memory_that_runs_out_before_the_first_row_halves_the_size(
    words: Words, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full_above(3, monkeypatch)
    folder, size, rows = made(words)
    assert size == 3 and len(rows) == 12
    assert "out of memory with 12 clips at once: beginning again with 6" in "".join(capsys.readouterr())
    assert [path.parent for path in folder.parent.rglob("begun.json")] == [folder]


def test_memory_that_runs_out_later_ends_the_run_and_keeps_its_rows(
    words: Words, monkeypatch: pytest.MonkeyPatch
) -> None:
    made([*words, "runtime.limit=4"])
    full_above(3, monkeypatch)
    with pytest.raises(SettingError, match=r"out of memory \(injected\): set a smaller batch_size"):
        made(words)
    monkeypatch.undo()
    assert made(words)[1] == 4


def test_a_size_given_by_the_user_is_kept(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    full_above(3, monkeypatch)
    with pytest.raises(SettingError, match="out of memory"):
        made([*words[:-1], "batch_size=4"])


def test_shards_need_one_size(words: Words) -> None:
    with pytest.raises(SettingError, match="all shards of a run must have one size"):
        made([*words, "runtime.shard=1/2"])


def test_equal_chunks() -> None:
    """Never above the limit, with as few chunks as possible, and without a chunk to spare."""
    for clips in range(1, 60):
        for most in range(1, 70):
            size = in_equal_chunks(clips, most)
            chunks = -(-clips // most)
            assert size <= min(most, clips) and chunks * size >= clips > chunks * (size - 1)


class Squared(nn.Module):
    """Keeps its input, once, for the backward pass, and a weight, which is no clip's."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(27, 3 * 32 * 20))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).square() @ self.weight.T


def test_what_a_pass_keeps_per_clip(words: Words, monkeypatch: pytest.MonkeyPatch) -> None:
    """x for its square, and its square for the gradient of the weight: 2 x 3 x 32 x 20 numbers of 4 bytes."""
    job = job_of([*words, "runtime.limit=4"])
    prepared = tasks.resume.prepared_clips(job)  # type: ignore[attr-defined]
    square = Squared()

    class Alone:
        device = "cpu"

        def view(self, batch: Any, *_: Any) -> nn.Module:
            return square

    expected = 2 * 3 * 32 * 20 * 4
    assert abs(bytes_per_clip(Alone(), job, prepared, [0, 1, 2]) - expected) <= 0.01 * expected  # type: ignore[arg-type]


def test_free_memory_is_that_of_the_machine() -> None:
    assert 2**27 < free_memory("cpu") < 2**44

"""The saved clips of a run."""

from pathlib import Path

import numpy as np

from skeleton_adv.runs.clips import PAIR, SavedClips


def test_saved_arrays_survive_a_later_save_of_fewer(tmp_path: Path) -> None:
    clips = SavedClips(tmp_path)
    x = np.random.Generator(np.random.PCG64(0)).random((4, 3, 8, 25, 1), dtype="float32")
    held = {"x": x, "x_adv": x + 1, "mask": np.ones((4, 1, 8, 25, 1), dtype=bool)}
    trace = {"trace.loss": np.zeros((4, 2), dtype="float32")}
    clips.save([5, 6, 7, 8], held | trace, {})
    before = clips.digest()
    clips.save([5, 6, 7, 8], held, {})  # without the trace, which remains
    clips.save([5, 6], {name: values[:2] for name, values in held.items()}, {})  # fewer clips; the others remain
    now = SavedClips(tmp_path)
    assert [*now.locations(*PAIR, "trace.loss")] == [*now.locations(*PAIR)] == [5, 6, 7, 8]
    assert now.digest() == before  # the digest depends on the adversarial clips alone
    np.testing.assert_array_equal(now.load([8, 5]), (x + 1)[[3, 0]])
    clips.save([5, 6, 7, 8], held | {"x_adv": x + 2}, {}, overwrite=True)  # their rows were never written
    np.testing.assert_array_equal(SavedClips(tmp_path).load([8, 5]), (x + 2)[[3, 0]])

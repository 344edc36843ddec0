"""Training: one seed gives the same weights, also after a kill, and no test clip is read."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.data.clips import Prepared, RawClip
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.train.augment import random_move, rotate
from skeleton_adv.train.fit import correct, fit
from skeleton_adv.train.noise import GaussianNoise
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.state import Epoch, TrainingState

RECIPE = Recipe(epochs=4, batch_size=5, lr=2e-3, rotation=(5, 10, 5), held_out=0.25)


class Watched:
    """Prepared clips that record which of them are read."""

    def __init__(self, prepared: Prepared) -> None:
        self.clips, self.digest, self._prepared = prepared.clips, prepared.digest, prepared
        self.read: set[int] = set()

    def raw(self, index: int) -> RawClip:
        self.read.add(index)
        return self._prepared.raw(index)


def build() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.2), nn.Linear(3 * 32 * 20, 16), nn.ReLU(), nn.Linear(16, 27))


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder))
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def train(data: Any, scratch: Path, recipe: Recipe = RECIPE, seed: int = 0, stop_after: int | None = None) -> Any:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    model, state = fit(build, *data, recipe, seed=seed, device="cpu", scratch=scratch, log=log)
    return torch.cat([weight.flatten() for weight in model.state_dict().values()]), state, seen


def test_the_seed_determines_the_weights(data: Any, tmp_path: Path) -> None:
    first, state, seen = train(data, tmp_path / "a")
    assert torch.equal(first, train(data, tmp_path / "b")[0])
    assert not torch.equal(first, train(data, tmp_path / "c", seed=1)[0])
    assert len(state.held_out) == 4 and len(seen) == 4 + state.chosen


@pytest.mark.parametrize("stop_after", [1, 3, 4, 5])
def test_a_killed_training_ends_with_the_same_weights(data: Any, tmp_path: Path, stop_after: int) -> None:
    whole, undisturbed, _ = train(data, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "b", stop_after=stop_after)
    resumed, state, _ = train(data, tmp_path / "b")
    assert torch.equal(whole, resumed)
    assert state == undisturbed


def test_the_history_has_every_epoch_of_both_phases(data: Any, tmp_path: Path) -> None:
    _, state, _ = train(data, tmp_path / "a")
    refit = [Epoch("refit", epoch.epoch, epoch.loss, epoch.lr) for epoch in state.history[4:]]
    assert [epoch.epoch for epoch in state.history] == [1, 2, 3, 4, *range(1, state.chosen + 1)]
    assert [epoch.held_out_accuracy for epoch in state.history[:4]] == [*state.held_out] and len(state.held_out) == 4
    assert {epoch.held_out_clips for epoch in state.history[:4]} == {3} and [*state.history[4:]] == refit  # of 12
    assert [epoch.lr for epoch in state.history[:4]] == [RECIPE.rate(epoch) for epoch in range(4)]
    assert all(0 < epoch.loss < 10 for epoch in state.history)


def test_a_state_without_a_history_resumes(data: Any, tmp_path: Path) -> None:
    """An earlier version saved none: the weights are the same, and the history starts with the next epoch."""
    whole, whole_state, _ = train(data, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "b", stop_after=2)
    saved = torch.load(tmp_path / "b", weights_only=True)
    del saved["history"]
    torch.save(saved, tmp_path / "b")
    resumed, state, _ = train(data, tmp_path / "b")
    assert torch.equal(whole, resumed)
    assert state.history == whole_state.history[2:] and state.held_out == whole_state.held_out


def test_no_test_clip_is_read_and_all_training_clips_are(data: Any, tmp_path: Path) -> None:
    dataset, prepared = data
    watched = Watched(prepared)
    train((dataset, watched), tmp_path / "a")
    assert watched.read == {i for i, clip in enumerate(prepared.clips) if clip.split == "train"}


def test_it_learns(data: Any, tmp_path: Path) -> None:
    dataset, prepared = data
    recipe = Recipe(epochs=30, batch_size=6, lr=3e-3, held_out=0)
    model, _ = fit(build, dataset, prepared, recipe, seed=0, device="cpu", scratch=tmp_path / "a", log=lambda _: None)
    test = [i for i, clip in enumerate(prepared.clips) if clip.split == "test"]
    assert sum(correct(model, dataset, prepared, test, 5)) >= 10  # of 12; chance among the three classes is 4


def test_global_randomness_does_not_change(data: Any, tmp_path: Path) -> None:
    torch.manual_seed(5)
    random.seed(5)
    before = torch.get_rng_state(), random.getstate()
    train(data, tmp_path / "a")
    assert torch.equal(before[0], torch.get_rng_state()) and before[1] == random.getstate()


def test_a_dataset_without_training_clips_is_refused(data: Any, tmp_path: Path) -> None:
    dataset, prepared = data
    only_test = Watched(prepared)
    only_test.clips = tuple(clip for clip in prepared.clips if clip.split == "test")
    with pytest.raises(DataError, match="none of its 12 clips is a training clip"):
        train((dataset, only_test), tmp_path / "a")
    with pytest.raises(SettingError, match=r"recipe.held_out=0.999 leaves none of \d+ clips"):
        train(data, tmp_path / "b", replace(RECIPE, held_out=0.999))


def test_the_chosen_epochs_are_the_last_maximum_of_a_smooth_curve() -> None:
    assert TrainingState(held_out=(0.1, 0.9, 0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6)).chosen == 12
    assert TrainingState(held_out=(0.5, 0.9, 0.1, 0.0, 0.0, 0.0, 0.0)).chosen == 2
    assert TrainingState().chosen == 0


def test_rates_follow_their_formulas() -> None:
    assert Recipe(gamma=0.99).rate(100) == pytest.approx(1e-3 * 0.99**100)
    steps = Recipe(schedule="steps", lr=0.1, gamma=0.1, milestones=(30, 40))
    assert [steps.rate(e) for e in (0, 29, 30, 39, 40)] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert Recipe(schedule="cosine", epochs=10).rate(5) == pytest.approx(5e-4)


def test_rotation_keeps_lengths_and_turns_about_the_axis() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 1)).astype(np.float32)
    turned = rotate(x, (0.3, -0.7, 0.2))
    np.testing.assert_allclose(np.linalg.norm(turned, axis=0), np.linalg.norm(x, axis=0), rtol=1e-5)
    about_y = rotate(np.array([0, 0, 1.0]).reshape(3, 1, 1, 1), (0, np.pi / 2, 0)).ravel()
    np.testing.assert_allclose(about_y, [1, 0, 0], atol=1e-12)


def test_moves_are_similarities_that_drift_steadily() -> None:
    frames = np.random.default_rng(0).normal(size=(3, 9, 18, 2))
    exists = np.ones((9, 18, 2), bool)
    exists[4, 3, 1] = False
    scales, turns = set(), set()
    for seed in range(40):
        x = random_move(frames, exists, random.Random(seed))
        assert (x[2] == frames[2]).all() and (x[:2, 4, 3, 1] == frames[:2, 4, 3, 1]).all()
        # A similarity of the plane is a product and a sum of complex numbers, the same for all of a frame.
        before, after = (clip[0, :, :, 0] + 1j * clip[1, :, :, 0] for clip in (frames, x))
        factor = (after[:, 1] - after[:, 0]) / (before[:, 1] - before[:, 0])
        shift = after[:, 0] - factor * before[:, 0]
        np.testing.assert_allclose(after, factor[:, None] * before + shift[:, None], atol=1e-12)
        for values in (np.abs(factor), np.angle(factor), shift):
            np.testing.assert_allclose(np.diff(values, 2), 0, atol=1e-12)
        scales |= {*np.abs(factor[[0, -1]]).round(6)}
        turns |= {*np.degrees(np.angle(factor[[0, -1]])).round(6) + 0}
        assert np.abs([shift.real, shift.imag]).max() <= 0.2 + 1e-12
    assert scales == {0.9, 1.0, 1.1} and turns == {-10, -5, 0, 5, 10}


@pytest.mark.parametrize(("key", "value"), [("epochs", 0), ("lr", -1.0), ("schedule", "linear"), ("rotation", (1, 2))])
def test_a_recipe_out_of_range_is_refused(key: str, value: Any) -> None:
    with pytest.raises(SettingError, match=f"recipe.{key}="):
        Recipe(**{key: value})


def test_noise_increases_to_full_strength() -> None:
    assert [Recipe(epochs=8).noise_share(epoch) for epoch in range(8)] == [1.0] * 8
    shares = [Recipe(epochs=8, noise_warmup=0.5).noise_share(epoch) for epoch in range(8)]
    assert shares == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_every_epoch_is_trained_with_its_own_noise(data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, seen = GaussianNoise.clip, []

    def watched(self: GaussianNoise, *arguments: Any) -> Any:
        seen.append(self.sigma * arguments[-1])
        return made(self, *arguments)

    monkeypatch.setattr(GaussianNoise, "clip", watched)
    recipe, noise = replace(RECIPE, held_out=0.0, noise_warmup=0.5), GaussianNoise(0.2)
    fit(build, *data, recipe, seed=0, device="cpu", scratch=tmp_path / "a", log=lambda _: None, training=noise)
    assert sorted(set(seen)) == [0.1, 0.2] and seen == sorted(seen) and seen.count(0.1) * 4 == len(seen)

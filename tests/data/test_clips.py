"""A new dataset, the facts of those that exist, cropping and resampling against torch's own, the order of clips."""

import random
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from omegaconf import DictConfig, OmegaConf

from skeleton_adv.core.batch import WHOLE
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.clips import (
    LARGEST,
    Clip,
    Dataset,
    RawClip,
    centre_crop,
    hashed_order,
    load_batch,
    outside,
    random_crop,
    resample,
)
from skeleton_adv.data.store import prepare

CONF = Path(__file__).parents[2] / "conf/dataset"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))


@dataclass(frozen=True)
class Sticks(Dataset):
    """All that a new dataset needs: three joints, one file per clip."""

    root: str
    scale: float = 1.0

    name = "sticks"
    skeleton = Skeleton("stick", ("hip", "knee", "foot"), (0, 0, 1), ((0, 1, 2),), center=0)
    all_classes = ("stand", "kick")

    def clips(self) -> tuple[Clip, ...]:
        names = sorted(path.stem for path in Path(self.root).glob("*.npy"))
        return tuple(Clip(name, int(name[0]), "train" if name[1] == "a" else "test") for name in names)

    def path(self, clip: Clip) -> Path:
        return Path(self.root) / f"{clip.name}.npy"

    def read(self, clip: Clip) -> RawClip:
        frames = (self.scale * np.load(self.path(clip))).astype(np.float32)  # (F, 3, 3, 1)
        return RawClip(frames, np.ones((len(frames), 3, 1), bool))


@pytest.fixture
def sticks(tmp_path: Path) -> Path:
    folder = tmp_path / "sticks"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("0a", "0b", "1a", "1b"):
        np.save(folder / f"{name}.npy", rng.normal(size=(20, 3, 3, 1)))
    return folder


def test_a_new_dataset_is_prepared_and_becomes_batches(sticks: Path, tmp_path: Path) -> None:
    dataset = Sticks(str(sticks), num_frames=16)
    store = prepare(dataset, tmp_path / "cache")
    batch = load_batch(dataset, store, [1, 3])
    assert batch.x.shape == (2, 3, 16, 3, 1) and batch.mask.all() and batch.y.tolist() == [0, 1]
    assert [clip.split for clip in store.clips] == ["train", "test"] * 2
    assert dataset.classes == ("stand", "kick")


def test_a_new_dataset_is_beside_no_published_numbers_and_no_stand_in(sticks: Path) -> None:
    dataset = Sticks(str(sticks))
    facts = (dataset.stands_for, dataset.stand_in, dataset.generated, dataset.unit, dataset.fps)
    assert facts == (None, False, False, "m", 30.0)


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_persons", 0), ("num_persons", 7), ("num_frames", 0), ("test_crop", 1.5), ("space", "image"), ("scale", "x")],
)
def test_a_new_datasets_settings_have_their_ranges(key: str, value: Any, sticks: Path) -> None:
    with pytest.raises(SettingError, match=rf"^dataset\.{key}="):
        Sticks(str(sticks), **{key: value})


def test_fingerprint_tells_apart_what_changes_a_clip_as_read(sticks: Path) -> None:
    first = Sticks(str(sticks)).fingerprint()
    assert Sticks(str(sticks), num_frames=16, test_crop=1.0, on_error="skip").fingerprint() == first
    prints = {first, Sticks(str(sticks), scale=2.0).fingerprint(), Sticks(str(sticks), num_persons=2).fingerprint()}
    np.save(sticks / "0a.npy", np.zeros((21, 3, 3, 1)))
    prints.add(Sticks(str(sticks)).fingerprint())
    (sticks / "0a.npy").unlink()
    prints.add(Sticks(str(sticks)).fingerprint())
    assert len(prints) == 5


def test_a_dataset_of_files_that_names_none_says_so(sticks: Path) -> None:
    class Nameless(Sticks):
        path = Dataset.path

    with pytest.raises(NotImplementedError, match="Nameless"):
        Nameless(str(sticks)).fingerprint()


def settings(option: str) -> DictConfig:
    """A dataset option's settings, those of the option that it extends among them."""
    own = OmegaConf.load(CONF / f"{option}.yaml")
    assert isinstance(own, DictConfig)
    extended = [name for name in own.pop("defaults", []) if name != "_self_"]
    merged = OmegaConf.merge(*map(settings, extended), own)
    assert isinstance(merged, DictConfig)
    return merged


def made(option: str, **changes: Any) -> Dataset:
    values = dict(settings(option))
    module, _, name = values.pop("_target_").rpartition(".")
    dataset: Dataset = getattr(import_module(module), name)(**{**values, **changes})
    return dataset


FACTS = {
    "ntu60_cs": ("NTU RGB+D, cross-subject", False, "m"),
    "ntu60_cv": ("NTU RGB+D, cross-view", False, "m"),
    "ntu120_xsub": ("NTU RGB+D, cross-subject", True, "m"),
    "ntu120_xset": ("NTU RGB+D, cross-subject", True, "m"),
    "utd_mhad": ("NTU RGB+D, cross-subject", True, "m"),
    "synthetic_cs": ("NTU RGB+D, cross-subject", True, "m"),
    "synthetic_cv": ("NTU RGB+D, cross-view", True, "m"),
    "kinetics": ("Kinetics", False, "image"),
    "synthetic_kinetics": ("Kinetics", True, "image"),
}


@pytest.mark.parametrize("option", FACTS)
def test_facts_of_the_papers_sets_and_their_stand_ins(option: str) -> None:
    dataset = made(option)
    assert (dataset.stands_for, dataset.stand_in, dataset.unit) == FACTS[option]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_a_dataset_of_its_name(option: str) -> None:
    dataset = made(option)
    assert isinstance(dataset, Dataset) and dataset.name == option


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_takes_more_persons_than_a_file_may_list(option: str) -> None:
    for persons in (0, 7, 1000):
        with pytest.raises(SettingError, match=rf"^dataset\.num_persons={persons}\b"):
            made(option, num_persons=persons)


def test_what_lies_outside_a_recording() -> None:
    values = np.array([0, -100, 100, 100.001, -1e6, np.inf, -np.inf, np.nan, 1e39])
    assert outside(values, "m").tolist() == [False] * 3 + [True] * 6
    assert LARGEST["image"] == 1000 and not outside(values, "image")[:4].any()


@pytest.mark.parametrize(("length", "frames"), [(20, 32), (64, 32), (33, 64), (32, 32), (7, 16)])
def test_resample_is_a_bilinear_resize(length: int, frames: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(length + 9, 3, 5, 2)).astype(np.float32)
    got, exists = resample(RawClip(x, np.ones((length + 9, 5, 2), bool)), 4, length, frames)
    part = torch.from_numpy(x[4 : 4 + length]).permute(1, 0, 2, 3).reshape(3, length, 10)
    expected = F.interpolate(part[None], size=(frames, 10), mode="bilinear", align_corners=False)[0]
    np.testing.assert_allclose(got.reshape(3, frames, 10), expected.numpy(), atol=2e-6)
    assert exists.all()


def test_a_frame_exists_if_all_its_sources_do() -> None:
    exists = np.ones((8, 1, 1), bool)
    exists[3] = False
    raw = RawClip(np.zeros((8, 3, 1, 1), np.float32), exists)
    # Halving reads frames (0, 1), (2, 3), (4, 5), (6, 7) in equal parts.
    assert resample(raw, 0, 8, 4)[1][:, 0, 0].tolist() == [True, False, True, True]
    # At the same length each frame reads itself alone.
    assert resample(raw, 0, 8, 8)[1][:, 0, 0].tolist() == exists[:, 0, 0].tolist()


def test_centre_crop_is_the_public_feeders() -> None:
    assert [centre_crop(length, 0.95) for length in (100, 41, 300, 10)] == [(2, 96), (1, 39), (7, 286), (0, 10)]
    assert centre_crop(50, 1.0) == (0, 50)


def test_random_crops_lie_inside_and_are_long_enough() -> None:
    rng = random.Random(0)
    crops = [random_crop(80, 0.5, 32, rng) for _ in range(500)]
    assert all(start >= 0 and start + length <= 80 and 40 <= length <= 80 for start, length in crops)
    assert len({start for start, _ in crops}) > 20
    assert random_crop(20, 0.5, 32, rng) == (0, 20)


def test_order_is_a_fair_sample_and_depends_on_names_alone() -> None:
    clips = [Clip(f"a{label:02}_{k}", label, "test" if k % 2 else "train") for label in range(20) for k in range(20)]
    order = hashed_order(clips, "test")
    assert sorted(order) == [i for i, clip in enumerate(clips) if clip.split == "test"]
    assert len({clips[i].label for i in order[:40]}) > 14
    names = [clips[i].name for i in order]
    backwards = clips[::-1]
    assert [backwards[i].name for i in hashed_order(backwards, "test")] == names


def test_a_whole_clip_lies_in_the_batch_as_recorded() -> None:
    rng = np.random.default_rng(0)
    for start, length in ((0, 50), (7, 30), (0, 310)):
        size = start + length
        raw = RawClip(rng.normal(size=(size, 3, 25, 2)).astype(np.float32), rng.random((size, 25, 2)) > 0.1)
        frames, exists = resample(raw, start, length, WHOLE)
        kept = min(length, WHOLE)
        np.testing.assert_array_equal(frames[:, :kept], raw.frames[start : start + kept].transpose(1, 0, 2, 3))
        np.testing.assert_array_equal(exists[:kept], raw.exists[start : start + kept])
        assert frames.shape == (3, WHOLE, 25, 2) and not frames[:, kept:].any() and not exists[kept:].any()

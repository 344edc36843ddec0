"""A complete new dataset, and the facts of the existing ones."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.dataset import LARGEST, Clip, Dataset, RawClip, outside
from skeleton_adv.data.naming import SHIPPED
from skeleton_adv.data.store import prepare

CONF = Path(__file__).parents[2] / "conf/dataset"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))


@dataclass(frozen=True)
class Sticks(Dataset):
    """A complete new dataset: three joints, one file per clip."""

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


def test_a_new_dataset_has_no_published_numbers_and_is_no_stand_in(sticks: Path) -> None:
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


def test_fingerprints_differ_if_a_clip_as_read_differs(sticks: Path) -> None:
    first = Sticks(str(sticks)).fingerprint()
    assert Sticks(str(sticks), num_frames=16, test_crop=1.0, on_error="skip").fingerprint() == first
    prints = {first, Sticks(str(sticks), scale=2.0).fingerprint(), Sticks(str(sticks), num_persons=2).fingerprint()}
    np.save(sticks / "0a.npy", np.zeros((21, 3, 3, 1)))
    prints.add(Sticks(str(sticks)).fingerprint())
    (sticks / "0a.npy").unlink()
    prints.add(Sticks(str(sticks)).fingerprint())
    assert len(prints) == 5


def test_a_dataset_without_path_and_fingerprint_raises(sticks: Path) -> None:
    class Nameless(Sticks):
        path = Dataset.path

    with pytest.raises(NotImplementedError, match="Nameless"):
        Nameless(str(sticks)).fingerprint()


def settings(option: str) -> DictConfig:
    """The settings of a dataset option, including those of the option that it extends."""
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


PREPARED_NTU = ("ntu60_npz", "ntu60_aligned", "ntu60_agcn", "ntu60_stgcn", "ntu60_pyskl", "ntu60_sgn")
FACTS = {
    "ntu60_cs": ("NTU RGB+D, cross-subject", False, "m"),
    "ntu60_cv": ("NTU RGB+D, cross-view", False, "m"),
    "ntu120_xsub": ("NTU RGB+D, cross-subject", True, "m"),
    "ntu120_xset": ("NTU RGB+D, cross-subject", True, "m"),
    "utd_mhad": ("NTU RGB+D, cross-subject", True, "m"),
    "hdm05": ("NTU RGB+D, cross-subject", True, "m"),
    "dbcsp_ar": (None, False, "image"),
    "synthetic_cs": ("NTU RGB+D, cross-subject", True, "m"),
    "synthetic_cv": ("NTU RGB+D, cross-view", True, "m"),
    "kinetics": ("Kinetics", False, "image"),
    "synthetic_kinetics": ("Kinetics", True, "image"),
    **dict.fromkeys(PREPARED_NTU, ("NTU RGB+D, cross-subject", False, "m")),
    **dict.fromkeys(("ntu120_npz", "ntu120_pyskl"), ("NTU RGB+D, cross-subject", True, "m")),
    "kinetics_npy": ("Kinetics", False, "image"),
    **dict.fromkeys(("ntu60_hrnet", "hrnet"), (None, False, "image")),
}


@pytest.mark.parametrize("option", FACTS)
def test_facts_of_the_papers_sets_and_their_stand_ins(option: str) -> None:
    dataset = made(option)
    assert (dataset.stands_for, dataset.stand_in, dataset.unit) == FACTS[option]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_is_a_dataset_of_its_name(option: str) -> None:
    dataset = made(option)
    own = {"folder": "own", "hrnet": "hmdb51_hrnet_test1"}  # names of files, which are never a shipped dataset's
    plain = re.sub("_(?:cs|cv|xsub|xset)_", "_", dataset.name)  # a prepared format's protocol is a setting
    assert isinstance(dataset, Dataset) and plain == own.get(option, option)
    assert (dataset.name in SHIPPED) == (option not in own)


@pytest.mark.parametrize("option", OPTIONS)
def test_no_option_has_more_persons_than_a_file_may_list(option: str) -> None:
    for persons in (0, 7, 1000):
        with pytest.raises(SettingError, match=rf"^dataset\.num_persons={persons}\b"):
            made(option, num_persons=persons)


def test_a_padded_clip_has_absent_bodies_after_its_own() -> None:
    raw = RawClip(np.ones((5, 3, 4, 2), np.float32), np.ones((5, 4, 2), bool))
    more = raw.padded(3)
    assert more.frames.dtype == np.float32 and more.exists.dtype == np.bool_
    assert more.exists.all(axis=(0, 1)).tolist() == [True, True, False] and not more.frames[..., 2].any()
    np.testing.assert_array_equal(more.frames[..., :2], raw.frames)


def test_coordinates_outside_a_recording() -> None:
    values = np.array([0, -100, 100, 100.001, -1e6, np.inf, -np.inf, np.nan, 1e39])
    assert outside(values, "m").tolist() == [False] * 3 + [True] * 6
    assert LARGEST["image"] == 1000 and not outside(values, "image")[:4].any()


def test_readers_and_the_store_import_no_torch() -> None:
    names = ("store", "ntu", "kinetics", "utd_mhad", "synthetic", "synthetic_kinetics", "folder", "memory", "hdm05")
    names += ("dbcsp", "ntu_npz", "ntu_agcn", "ntu_stgcn", "kinetics_npy", "ntu_pyskl", "hrnet", "ntu_sgn")
    code = "import sys\n" + "".join(f"import skeleton_adv.data.{name}\n" for name in names)
    done = subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], capture_output=True)
    assert done.returncode == 0, done.stderr

"""Clips in every prepared format are the clips of the raw path, up to what the format rounds or loses."""

import pickle
import tracemalloc
import zipfile
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from prepared_files import FORMATS, Clips, denoised_arrays, half

from skeleton_adv.core.errors import DataError, SettingError
from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.dataset import Clip, Dataset, Prepared, RawClip
from skeleton_adv.data.ntu import TRAIN_SUBJECTS
from skeleton_adv.data.ntu_agcn import NTUAGCN
from skeleton_adv.data.ntu_npz import NTUNpz
from skeleton_adv.data.ntu_pyskl import NTUPyskl
from skeleton_adv.data.store import prepare
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics
from skeleton_adv.models import load_victim
from skeleton_adv.models.agcn import TwoStreamAGCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import PreNormalize
from skeleton_adv.models.space import Normalised
from skeleton_adv.models.weights import load_weights

CHECKPOINTS = Path(__file__).parents[2] / "outputs/checkpoints/synthetic_cs"
ACTIONS, SUBJECTS = (0, 7, 30, 49, 55), ("001", "003", "020")


class Kept:
    """Clips in memory."""

    digest, skipped = "none", ()

    def __init__(self, pairs: Clips) -> None:
        self.clips = tuple(clip for clip, _ in pairs)
        self._raws = [raw for _, raw in pairs]

    def raw(self, index: int) -> RawClip:
        return self._raws[index]


@cache
def recorded(image: bool) -> Clips:
    """A few generated clips of both splits, some of two persons, and gaps in some of them."""
    made: Dataset = SyntheticKinetics() if image else SyntheticMotion()
    chosen = [c for c in made.clips() if c.label in ACTIONS and c.name[9:12] in SUBJECTS and "C002" in c.name]
    pairs = [(clip, made.read(clip)) for clip in chosen]
    assert len(pairs) == 15 and {clip.split for clip, _ in pairs} == {"train", "test"}
    return pairs


def cut(frames: np.ndarray, exists: np.ndarray) -> RawClip:
    """The clip without its empty frames at the end."""
    length = int(np.flatnonzero(exists.any(axis=(1, 2)))[-1]) + 1
    return RawClip(frames[:length], exists[:length])


def expected(kind: str, pairs: Clips) -> tuple[list[RawClip], float]:
    """The clips as this format keeps them, and the largest rounding error."""
    raws = [raw for _, raw in pairs]
    if kind in ("npz", "compressed", "h5"):
        kept = [raw.exists.any(axis=(1, 2)) for raw in raws]
        raws = [RawClip(raw.frames[there], raw.exists[there]) for raw, there in zip(raws, kept, strict=True)]
        origins = [raw.frames[raw.exists[:, 1, 0].argmax(), :, 1, 0] for raw in raws]
        moved = [raw.frames - origin[:, None, None] for raw, origin in zip(raws, origins, strict=True)]
        return [RawClip(np.where(r.exists[:, None], f, 0), r.exists) for r, f in zip(raws, moved, strict=True)], 1e-6
    if kind == "agcn":
        normalised = Normalised(Kept(pairs), NTU25)
        return [cut(*normalised.raw(number)) for number in range(len(pairs))], 1e-5
    if kind in ("stgcn", "kinetics"):
        return [cut(*raw) for raw in raws], 0.0
    joints = slice(17 if kind in ("hrnet", "videos") else None)
    rounding = 0.00196 if kind == "pyskl" else 0.0005  # of half precision at 4 to 8 metres and at 340 pixels
    return [RawClip(raw.frames[:, :, joints], raw.exists[:, joints]) for raw in raws], rounding


@pytest.mark.parametrize("kind", FORMATS)
def test_clips_are_those_of_the_raw_path(kind: str, tmp_path: Path) -> None:
    if kind == "h5":
        pytest.importorskip("h5py")
    form = FORMATS[kind]
    pairs = [*half(recorded(form.image), "train"), *half(recorded(form.image), "test")]
    dataset = form.write(pairs, tmp_path)
    store = prepare(dataset, tmp_path / "cache")
    if kind in ("npz", "compressed", "h5"):
        assert {clip.name[:6] for clip in store.clips} == {"train_", "test_0"} | ({"valid_"} if kind == "h5" else set())
        assert [(c.label, c.split) for c in store.clips] == [(c.label, c.split) for c, _ in pairs]
    else:
        assert list(store.clips) == [clip for clip, _ in pairs]
    raws, rounding = expected(kind, pairs)
    for number, raw in enumerate(raws):
        back, alone = store.raw(number), dataset.read(store.clips[number])
        assert back.frames.dtype == np.float32 and back.frames.shape == raw.frames.shape
        np.testing.assert_array_equal(back.exists, raw.exists)
        np.testing.assert_allclose(back.frames, raw.frames, rtol=0, atol=rounding)
        np.testing.assert_array_equal(back.frames, alone.frames)  # also read one by one
    assert prepare(replace(dataset), tmp_path / "cache").digest == store.digest


@pytest.mark.parametrize("kind", ["stgcn", "pyskl", "compressed"])
def test_fewer_persons_and_actions(kind: str, tmp_path: Path) -> None:
    dataset = replace(FORMATS[kind].write(recorded(False), tmp_path), num_persons=1, num_actions=31)
    store = prepare(dataset, tmp_path / "cache")
    assert {clip.label for clip in store.clips} == {0, 7, 30} and len(dataset.classes) == 31
    whole = replace(dataset, num_persons=2)
    for number, clip in enumerate(store.clips):
        assert store.raw(number).frames.shape[-1] == 1
        np.testing.assert_array_equal(store.raw(number).frames[..., 0], whole.read(clip).frames[..., 0])


def judged(network: Any, dataset: Dataset, prepared: Prepared) -> torch.Tensor:
    with torch.no_grad():
        logits: torch.Tensor = network(load_batch(dataset, prepared, list(range(len(prepared.clips)))).x)
    return logits


@cache
def judged_set(actions: int, persons: int) -> tuple[Dataset, Clips]:
    made = SyntheticMotion(num_actions=actions, num_persons=persons)
    chosen = [c for c in made.clips() if c.split == "test" and c.label % (actions // 10) == 0][:30]
    return made, [(clip, made.read(clip)) for clip in chosen]


@pytest.mark.parametrize("kind", ["stgcn", "pyskl"])
def test_hcn_is_as_accurate_in_every_format(kind: str, tmp_path: Path) -> None:
    raw, pairs = judged_set(60, 2)
    train = (Clip("S001C001P001R001A001", 0, "train"), pairs[0][1])
    dataset = FORMATS[kind].write([*pairs, train], tmp_path)
    kept = Kept([(clip, dataset.read(clip)) for clip, _ in pairs])
    network = load_victim(CHECKPOINTS / "hcn_t64_k60_s0.safetensors")
    logits, other = judged(network, raw, Kept(pairs)), judged(network, dataset, kept)
    labels = torch.tensor([clip.label for clip, _ in pairs])
    assert (logits.argmax(1) == labels).float().mean() > 0.6
    assert torch.equal(logits.argmax(1) == labels, other.argmax(1) == labels)
    assert (logits - other).abs().max() < (1e-5 if kind == "stgcn" else 0.5)


@pytest.mark.parametrize("kind", ["npz", "agcn"])
def test_agcn_is_as_accurate_in_formats_that_move_the_clips(kind: str, tmp_path: Path) -> None:
    """What the formats lose does not matter to it in the same space, because its preprocessing centres and rotates."""
    raw, pairs = judged_set(10, 1)
    clean: Prepared = Kept(pairs)
    if kind == "agcn":
        raw, clean = replace(raw, space="normalised"), Normalised(clean, NTU25)
    train = (Clip("S001C001P001R001A001", 0, "train"), pairs[0][1])
    dataset = replace(FORMATS[kind].write([*pairs, train], tmp_path), num_actions=10, num_persons=1)
    tests = [clip for clip in dataset.clips() if clip.split == "test"]
    kept = Kept([(clip, dataset.read(clip)) for clip in tests])
    logits = []
    for source, prepared in ((raw, clean), (dataset, kept)):
        network = build_network(partial(TwoStreamAGCN, width=16), PreNormalize, source).eval()
        load_weights(network, CHECKPOINTS / "agcn_small_t64_k10_s0.safetensors")
        logits.append(judged(network, source, prepared))
    labels = torch.tensor([clip.label for clip, _ in pairs])
    assert [clip.label for clip in tests] == labels.tolist()
    assert (logits[0].argmax(1) == labels).float().mean() > 0.6
    assert torch.equal(logits[0].argmax(1), logits[1].argmax(1))
    assert (logits[0] - logits[1]).abs().max() < 1e-3


def test_names_of_ctrgcns_rows_are_those_of_its_list(tmp_path: Path) -> None:
    """Row order: subject by subject, each in the order of the list."""
    pairs = sorted(recorded(False), key=lambda pair: (int(pair[0].name[9:12]), pair[0].name))
    dataset = FORMATS["npz"].write(pairs, tmp_path)
    listed = sorted(clip.name for clip, _ in pairs)
    (tmp_path / "skes_available_name.txt").write_text("\n".join(listed) + "\n")
    named = replace(dataset).clips()
    assert [clip.name for clip in named] == [c.name for s in ("train", "test") for c, _ in half(pairs, s)]
    assert all((int(clip.name[9:12]) in TRAIN_SUBJECTS) == (clip.split == "train") for clip in named)
    assert dataset.fingerprint() == replace(dataset).fingerprint()
    for other in (listed[1:], [*listed, "S017C003P040R002A060"]):
        (tmp_path / "skes_available_name.txt").write_text("\n".join(other) + "\n")
        assert replace(dataset).clips()[0].name == "train_00000"
    (tmp_path / "skes_available_name.txt").write_text("S001C001P001R001A001\nno name\n")
    with pytest.raises(DataError, match=r"skes_available_name.txt:2: 'no'"):
        replace(dataset).clips()


def test_a_person_who_is_written_twice_is_read_once(tmp_path: Path) -> None:
    arrays = denoised_arrays(recorded(False))
    single = ~arrays["x_train"][..., 75:].any(axis=(1, 2))
    assert 0 < single.sum() < len(single)
    arrays["x_train"][single, :, 75:] = arrays["x_train"][single, :, :75]
    arrays |= {key: np.pad(arrays[key], [(0, 0), (0, 60)]) for key in ("y_train", "y_test")}
    np.savez(tmp_path / "a.npz", **arrays)  # type: ignore[arg-type]
    dataset = NTUNpz(str(tmp_path / "a.npz"), "xsub120", 120)
    persons = [dataset.read(clip).exists.any(axis=(0, 1)).tolist() for clip in dataset.clips()[: len(single)]]
    assert persons == [[True, not alone] for alone in single]


@pytest.mark.parametrize(("kind", "match"), [(NTUAGCN, "ntu60_cs_agcn"), (NTUNpz, "ntu60_cs_aligned")])
def test_what_is_normalised_in_the_files_is_not_offered_as_the_cameras(kind: Any, match: str) -> None:
    settings = {"aligned": True} if kind is NTUNpz else {}
    with pytest.raises(SettingError, match=rf"^dataset\.space=camera: .*{match}.*dataset\.space=normalised$"):
        kind("here", **settings)
    assert kind("here", space="normalised", **settings).spaces == ("normalised",)


def test_numpy_one_and_python_two_pickles_are_read(tmp_path: Path) -> None:
    """NumPy 1 stores arrays under numpy.core, and Python 2 stores text and bytes alike."""
    dataset = FORMATS["pyskl"].write(recorded(False), tmp_path)
    path = Path(NTUPyskl(str(tmp_path / "ntu60_3danno.pkl")).root)
    first = dataset.read(dataset.clips()[0]).frames
    for protocol in (0, 2, 4, 5):
        content = pickle.dumps(pickle.loads(path.read_bytes()), protocol)
        if protocol < 4:  # there, the length of a name is not stored
            assert b"numpy._core" in content
            content = content.replace(b"cnumpy._core.", b"cnumpy.core.")
        path.write_bytes(content)
        again = replace(dataset)
        np.testing.assert_array_equal(again.read(again.clips()[0]).frames, first)


def test_members_of_npz_files_are_stored_or_compressed(tmp_path: Path) -> None:
    for kind, packed in (("npz", zipfile.ZIP_STORED), ("compressed", zipfile.ZIP_DEFLATED)):
        dataset = FORMATS[kind].write(recorded(False), tmp_path)
        (path,) = dataset.sources()
        with zipfile.ZipFile(path) as archive:
            assert {one.compress_type for one in archive.infolist()} == {packed}
        assert (dataset.one_pass(dataset.clips()) is None) == (kind == "npz")


def test_a_compressed_array_is_read_in_constant_memory(tmp_path: Path) -> None:
    arrays = denoised_arrays(recorded(False))
    first = arrays["x_test"][:1]
    many = {
        "x_test": np.broadcast_to(first, (200, *first.shape[1:])),
        "y_test": np.tile(arrays["y_test"][:1], (200, 1)),
    }
    np.savez_compressed(tmp_path / "a.npz", **{**arrays, **many})  # type: ignore[arg-type]
    dataset = NTUNpz(str(tmp_path / "a.npz"))
    clips = dataset.clips()
    tracemalloc.start()
    try:
        count = sum(isinstance(raw, RawClip) for raw in dataset.one_pass(clips) or ())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == len(clips) and peak < 8e6 < many["x_test"].nbytes

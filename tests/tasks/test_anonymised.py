"""Subjects are hidden in clips, which recognisers of subjects (also retrained ones) and of actions judge."""

from functools import partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import make_batch
from jobs import job_of
from scipy.io import savemat

from skeleton_adv import tasks
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import load_batch
from skeleton_adv.models.network import build_network
from skeleton_adv.models.weights import save_weights
from skeleton_adv.runs.clips import SavedClips
from skeleton_adv.runs.load import Run, load_run
from skeleton_adv.tasks.resume import prepared_clips
from skeleton_adv.tasks.weights import find_checkpoint, weights_of
from skeleton_adv.train.saved import Saved

SUBJECT, SHORT = "dataset.label=subject", ("batch_size=4", "attack.k=2", "attack.steps=2")
K_A3 = ("attack=k_a3", *SHORT, "runtime.save_clips=true")


class Made(NamedTuple):
    words: list[str]
    test: Path  # the folder of the attack on test clips
    train: Path


def weights_in(words: list[str], path: Path) -> str:
    """Weights of a network that has learnt nothing, as a word of a command."""
    torch.manual_seed(0)
    job = job_of(words)
    save_weights(build_network(job.victim.model.architecture, job.victim.model.preprocess, job.dataset), path, {})
    return f"model.checkpoint={path}"


def run(words: list[str], *more: str) -> Path:
    folder = tasks.run(job_of([*words, *more]))
    assert folder is not None
    return folder


def loaded(folder: Path) -> Run:
    found = load_run(folder)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Two actions by three subjects in four trials, and attacks on both halves of a recogniser of subjects."""
    place = tmp_path_factory.mktemp("anonymised")
    rng = np.random.Generator(np.random.PCG64(0))
    (place / "data").mkdir()
    for action, subject, trial in product((1, 2), (1, 2, 3), (1, 2, 3, 4)):
        body = make_batch(1, 24, 1, KINECT20, seed=7).x[0, ..., 0].numpy() * (1 + 0.2 * subject)
        body = body + 0.01 * rng.normal(size=body.shape)
        savemat(place / f"data/a{action}_s{subject}_t{trial}_skeleton.mat", {"d_skel": body.transpose(2, 0, 1)})
    words = [
        *("dataset=utd_mhad", f"dataset.root={place / 'data'}", "dataset.num_frames=16", "runtime.device=cpu"),
        *(f"runtime.{name}_dir={place / name}" for name in ("output", "cache", "checkpoint")),
        *("model=hcn", "model.architecture.fc7=16", "dataset.num_actions=2"),
    ]
    own = [*words, SUBJECT, weights_in([*words, SUBJECT], place / "subjects.safetensors"), *K_A3]
    return Made(words, run(own), run(own, "split=train"))


def test_an_attack_on_a_recogniser_of_subjects_has_subjects_as_classes(made: Made) -> None:
    attacked = loaded(made.test)
    assert (attacked.dataset, attacked.stand_in, attacked.stands_for) == ("utd_mhad_subjects", True, None)
    assert attacked.classes == ["s1", "s2", "s3"] and attacked.done == attacked.total == 12
    who = [int(name.split("_")[1][1:]) - 1 for name in attacked.array("name")]
    assert attacked.array("label").tolist() == who and set(attacked.array("rank")) <= {1, 2, 3}
    assert all(name.endswith(("_t3", "_t4")) for name in attacked.array("name"))


def test_training_clips_are_attacked_and_are_a_dataset_of_their_own_in_tables(made: Made) -> None:
    attacked = loaded(made.train)
    assert attacked.dataset == "utd_mhad_subjects_train" and attacked.split == "train"
    assert all(name.endswith(("_t1", "_t2")) for name in attacked.array("name")) and attacked.done == 12
    assert made.train.parent == made.test.parent and made.train != made.test


def test_a_network_learns_from_the_saved_clips(made: Made) -> None:
    training, job = Saved(str(made.train.parent)), job_of([*made.words, SUBJECT])
    prepared = prepared_clips(job)
    learnt = training.learns_from(job.dataset, prepared, job.dataset_settings)
    saved = SavedClips(made.train)
    for number, clip in enumerate(learnt.clips):
        clean = prepared.raw(number).frames
        if clip.split == "test":
            assert np.array_equal(learnt.raw(number).frames, clean)
        else:
            frames, exists = learnt.raw(number)
            assert np.array_equal(frames.transpose(1, 0, 2, 3), saved.load([number])[0])
            assert frames.shape == (16, 3, 20, 1) and exists.all() and frames.dtype == np.float32
    moved = (
        load_batch(job.dataset, learnt, range(len(learnt.clips))).x
        - load_batch(job.dataset, prepared, range(len(learnt.clips))).x
    )
    trains = torch.tensor([clip.split == "train" for clip in learnt.clips])
    assert moved[trains].abs().max() > 0 and not moved[~trains].any()


def test_a_retrained_network_judges_the_anonymised_clips(made: Made) -> None:
    retrained = [*made.words, SUBJECT, "training=saved", f"training.clips={made.train.parent}"]
    tasks.run(job_of([*retrained, "task=train", "recipe.epochs=1", "recipe.held_out=0"]))
    job = job_of(retrained)
    about = read_json(find_checkpoint(job, job.victim).with_suffix(".json"))
    own = {"attack": "k_a3", "run": made.train.name, "clips": SavedClips(made.train).digest()}
    assert about["settings"]["training"] == {"name": f"saved_k_a3_{own['clips'][:8]}", "settings": own}
    judged = loaded(run(retrained, "attack=from_file", f"attack.path={made.test.parent}", "batch_size=4"))
    assert judged.origin is not None and judged.training["settings"] == own and judged.dataset == "utd_mhad_subjects"
    assert judged.origin["run"] == made.test.name and judged.origin["weights"] == loaded(made.test).weights
    network = weights_of(job, job.victim).load(prepared_clips(job))[0].eval()
    clips = torch.from_numpy(SavedClips(made.test).load(judged.array("index").tolist()))
    assert judged.array("adv_pred").tolist() == network(clips).argmax(dim=1).tolist()
    assert judged.records["l2"].tolist() == pytest.approx(loaded(made.test).records["l2"].tolist(), rel=1e-6)


def test_a_recogniser_of_actions_judges_the_clips_that_are_for_testing_in_both_splits(
    made: Made, tmp_path: Path
) -> None:
    actions = [*made.words, weights_in(made.words, tmp_path / "actions.safetensors")]
    judged = loaded(run(actions, "attack=from_file", f"attack.path={made.test}", "batch_size=4"))
    names = ["a1_s2_t3", "a1_s2_t4", "a2_s2_t3", "a2_s2_t4"]  # s2 is the only test subject, t3 and t4 are test trials
    assert sorted(judged.array("name")) == names and judged.total == judged.done == 4
    assert [f"a{label + 1}" for label in judged.array("label")] == [name[:2] for name in judged.array("name")]
    assert judged.origin is not None and judged.origin["label"] == "subject" and judged.dataset == "utd_mhad_subjects"
    assert judged.folder is not None and judged.folder.parts[-5] == "utd_mhad" and judged.stands_for is None
    theirs = loaded(made.test).records.set_index("index").loc[judged.array("index"), "l2"]
    assert judged.records["l2"].tolist() == pytest.approx(theirs.tolist(), rel=1e-6)
    # and the reverse: clips that an attack on actions saved
    hidden = run(actions, *K_A3)
    people = [*made.words, SUBJECT, weights_in([*made.words, SUBJECT], tmp_path / "people.safetensors")]
    back = loaded(run(people, "attack=from_file", f"attack.path={hidden}", "batch_size=4"))
    assert sorted(back.array("name")) == names and set(back.array("label")) == {1} and back.dataset == "utd_mhad"


def test_templates_are_those_of_the_subjects(made: Made) -> None:
    words = [*made.words, SUBJECT, f"model.checkpoint={made.test.parents[5] / 'subjects.safetensors'}"]
    found = loaded(run(words, "task=identify", f"judged={made.test.parent}", "batch_size=4"))
    assert found.dataset == "utd_mhad_subjects" and found.done == 12
    assert found.array("identity").tolist() == found.array("label").tolist()
    with pytest.raises(RunError, match="attacks training clips"):
        run(words, "task=identify", f"judged={made.train}", "batch_size=4")


@pytest.mark.parametrize(
    ("words", "error", "message"),
    [
        (["training=saved", "training.clips={empty}", "task=train"], RunError, "is not a finished run"),
        (
            ["training=saved", "training.clips={test}", "task=train"],
            RunError,
            "attack on training clips: .* split=train",
        ),
        (["attack=from_file", "attack.path={train}", SUBJECT], RunError, "split=train, not test"),
        (["attack=from_file", "attack.path={test}", "split=train"], SettingError, "split=test only"),
        (["attack=from_file", "attack.path={test}", "seed=3"], RunError, "seed=0, not 3"),
        (["training=saved", "training.clips={train}", "task=train"], RunError, "made with prepared="),
    ],
)
def test_clips_of_the_wrong_half_are_refused(
    made: Made, words: list[str], error: type[Exception], message: str, tmp_path: Path
) -> None:
    given = [word.format(test=made.test, train=made.train, empty=tmp_path) for word in words]
    given += [weights_in([*made.words, *([SUBJECT] if SUBJECT in words else [])], tmp_path / "some.safetensors")]
    with pytest.raises(error, match=message) as caught:
        run([*made.words, *given])
    assert "\n" not in str(caught.value)


def test_a_part_of_the_training_clips_is_refused(made: Made) -> None:
    few = run(
        [*made.words, SUBJECT, f"model.checkpoint={made.test.parents[5] / 'subjects.safetensors'}", *K_A3],
        *("split=train", "attack.conf=0.1", "runtime.limit=4"),
    )
    job = job_of([*made.words, SUBJECT])
    learns = partial(Saved(str(few)).learns_from, job.dataset, prepared_clips(job))
    with pytest.raises(RunError, match=r"contains 4 of 12 training clips: .* without runtime.limit"):
        learns(job.dataset_settings)
    with pytest.raises(RunError, match=r"made with dataset\.num_frames=16, not 32"):
        learns({**job.dataset_settings, "num_frames": 32})
    assert len(pd.read_csv(few / "records.csv")) == 4

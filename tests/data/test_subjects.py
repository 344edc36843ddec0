"""Subjects as classes: the same clips with other labels, and a split in which each subject is in both halves."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs import job_of

from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.dataset import Clip, Take
from skeleton_adv.data.folder import Folder
from skeleton_adv.data.hdm05 import HDM05
from skeleton_adv.data.naming import own_name
from skeleton_adv.data.ntu import take_of
from skeleton_adv.data.store import prepare
from skeleton_adv.data.subjects import Subjects, labelled
from skeleton_adv.data.synthetic import SyntheticMotion
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.tasks.weights import checkpoint_name, role_settings


def small(label: str = "subject", **settings: Any) -> SyntheticMotion:
    return SyntheticMotion(**{"num_actions": 2, "repetitions": 2} | settings, label=label)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("clip", "take"),
    [
        ("a3_s10_t2", Take("s10", "train")),
        ("a3_s2_t3", Take("s2", "test")),
    ],
)
def test_a_subject_of_utd_mhad_trains_on_two_of_four_trials(clip: str, take: Take) -> None:
    assert UTDMHAD("nowhere").take(Clip(clip, 2, "train")) == take


def test_subjects_of_other_datasets_are_in_the_names_of_clips() -> None:
    assert HDM05("nowhere").take(Clip("HDM_bk_grabHighR_004_120", 0, "train")) == Take("bk", "test")
    assert take_of("S001C002P013R001A060") == Take("P013", "train")
    assert take_of("S001C002P013R002A060") == Take("P013", "test") and take_of("train_00001") is None


def test_classes_are_subjects_each_with_clips_in_both_halves(tmp_path: Path) -> None:
    people, actions = labelled(small()), labelled(small(), "action")
    assert isinstance(people, Subjects) and people.name == "synthetic_cs_subjects" and people.stand_in
    assert people.classes == tuple(f"P{number:03}" for number in range(1, 41)) and people.stands_for is None
    assert (actions.name, actions.label, actions.classes) == ("synthetic_cs", "action", small("action").classes)
    prepared, plain = prepare(people, tmp_path), prepare(actions, tmp_path)
    assert [clip.name for clip in prepared.clips] == [clip.name for clip in plain.clips]  # numbers mean the same clips
    assert prepared.digest != plain.digest == prepare(small("action"), tmp_path).digest
    assert np.array_equal(prepared.raw(5).frames, plain.raw(5).frames)
    for clip in prepared.clips:
        assert people.classes[clip.label] == clip.name[8:12]
        assert clip.split == ("train" if clip.name[12:16] == "R001" else "test")
    assert labelled(people) is people and labelled(people, "action") == actions
    assert labelled(actions, "subject") == people


def test_names_are_sorted_by_the_numbers_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = tuple(Clip(f"a1_s{subject}_t{trial}", 0, "test") for subject in (10, 2, 1) for trial in (1, 3))
    monkeypatch.setattr(UTDMHAD, "clips", lambda self: clips)
    assert labelled(UTDMHAD("nowhere", label="subject")).classes == ("s1", "s2", "s10")


def test_unknown_subjects_and_impossible_splits_give_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"^dataset.label=subject: the subjects of .* are not known: set [^\n]*$"):
        job_of(["dataset=dbcsp_ar", "dataset.label=subject"])
    with pytest.raises(SettingError, match=r"P001 of synthetic_cs has no test clips: set dataset.repetitions=2[^\n]*$"):
        _ = labelled(small(repetitions=1)).classes
    with pytest.raises(SettingError, match=r"^dataset\.label=face is not a choice"):
        small("face")


@pytest.mark.parametrize(
    ("header", "cells", "problem"),
    [
        ("file,label,subject,split", ("ann,train", "ann,test", "bob,train", "bob,test"), ""),
        ("file,label,subject,split", ("ann,train", "ann,train", "bob,train", "bob,test"), "subject ann of .* no test"),
        ("file,label,split", ("train", "test", "train", "test"), "is not known: add the columns subject and split"),
    ],
)
def test_a_folder_names_subjects_and_halves(header: str, cells: Any, problem: str, tmp_path: Path) -> None:
    lines = [header]
    for number, more in enumerate(cells):
        np.save(tmp_path / f"clip{number}.npy", np.zeros((4, 25, 3), np.float32))
        lines.append(f"clip{number}.npy,{'walk' if number % 2 else 'run'},{more}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    (tmp_path / "skeleton.yaml").write_text("like: ntu25\nunit: m\nfps: 30\n")
    people = labelled(Folder(str(tmp_path), label="subject"))
    if problem:
        with pytest.raises(SettingError, match=problem):
            people.clips()
    else:
        assert people.classes == ("ann", "bob") and [clip.label for clip in people.clips()] == [0, 0, 1, 1]


def test_actions_leave_no_trace_in_identities_and_subjects_have_their_own_weights() -> None:
    words = ["dataset.num_actions=2", "dataset.repetitions=2"]
    actions, people = job_of(words), job_of([*words, "dataset.label=subject"])
    assert "label" not in role_settings(actions, actions.victim)["dataset"]
    assert role_settings(people, people.victim)["dataset"]["label"] == "subject"
    names = [checkpoint_name(job, job.victim) for job in (actions, people)]
    assert names == ["synthetic_cs/hcn_t64_k2_s0.safetensors", "synthetic_cs_subjects/hcn_t64_k40_s0.safetensors"]
    assert people.dataset.num_frames == actions.dataset.num_frames == 64
    assert people.dataset == replace(people.dataset) and own_name("UTD-MHAD subjects") == "own_utd_mhad_subjects"

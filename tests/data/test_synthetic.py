"""Generated motion: the same clips on every machine, rigid bodies, imperfect cameras, and classes that differ."""

import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from skeleton_adv.core.skeleton import NTU25
from skeleton_adv.data.clips import Clip, hashed_order, load_batch, resample
from skeleton_adv.data.synthetic.camera import sense, tracked
from skeleton_adv.data.synthetic.dataset import TRAIN_SUBJECTS, SyntheticMotion
from skeleton_adv.data.synthetic.kinematics import DOFS, MIRRORED, bones, pose
from skeleton_adv.data.synthetic.motions import ACTIONS
from skeleton_adv.data.synthetic.performer import perform
from skeleton_adv.data.synthetic_kinetics import SyntheticKinetics

DATA = SyntheticMotion()
ALL = DATA.clips()
CLIPS = {clip.name: clip for clip in ALL}
BY_CODE = {clip.name[4:]: clip for clip in ALL}  # without the setup
SAMPLE = [ALL[i] for i in hashed_order(ALL, "test")[:120]]
PAIRS = {"handshake", "hug", "push_other", "punch_other", "kick_other", "point_at_other", "pat_on_back"} | {
    *("give_object", "walk_towards", "walk_apart")
}


def joint(name: str) -> int:
    return NTU25.joints.index(name)


def clip_of(action: str, subject: int = 1, camera: int = 1) -> Clip:
    return BY_CODE[f"C{camera:03}P{subject:03}R001A{DATA.classes.index(action) + 1:03}"]


def world(action: str, subject: int = 1) -> np.ndarray:
    return DATA.performance(clip_of(action, subject))  # (F, P, V, 3)


def bone_lengths(x: np.ndarray) -> np.ndarray:
    """(..., V, 3) -> (..., bones)."""
    ends, starts = (list(side) for side in zip(*NTU25.bones, strict=True))
    lengths: np.ndarray = np.linalg.norm(x[..., ends, :] - x[..., starts, :], axis=-1)
    return lengths


# --- the list of clips


def test_names_describe_the_clips() -> None:
    clips = SyntheticMotion(repetitions=2).clips()
    assert len({clip.name for clip in clips}) == len(clips) == 40 * 60 * 3 * 2
    parts = [re.fullmatch(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})", clip.name) for clip in clips]
    numbers = np.array([[int(n) for n in match.groups()] for match in parts if match])
    assert len(numbers) == len(clips)
    assert [set(column) for column in numbers.T[1:]] == [{1, 2, 3}, set(range(1, 41)), {1, 2}, set(range(1, 61))]
    assert numbers[:, 0].min() == 1 and numbers[:, 0].max() == 17
    assert (numbers[:, 4] - 1 == [clip.label for clip in clips]).all()


def test_splits_are_those_of_ntu() -> None:
    by_subject: dict[str, set[int]] = {"train": set(), "test": set()}
    for clip in CLIPS.values():
        by_subject[clip.split].add(int(clip.name[9:12]))
    assert by_subject["train"] == TRAIN_SUBJECTS and len(TRAIN_SUBJECTS) == 20
    assert by_subject["test"] == set(range(1, 41)) - TRAIN_SUBJECTS
    assert Counter(clip.split for clip in CLIPS.values()) == {"train": 3600, "test": 3600}
    by_camera = Counter((clip.split, clip.name[5:8]) for clip in SyntheticMotion("cv").clips())
    assert by_camera == {("train", "002"): 2400, ("train", "003"): 2400, ("test", "001"): 2400}


def test_num_actions_keeps_the_first_actions_as_they_are() -> None:
    few = SyntheticMotion("cv", num_actions=7)
    assert few.classes == DATA.classes[:7] and len(set(DATA.classes)) == 60
    assert {clip.label for clip in few.clips()} == set(range(7))
    assert (few.read(few.clips()[11]).frames == DATA.read(CLIPS[few.clips()[11].name]).frames).all()


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_actions", 1), ("num_actions", 61), ("protocol", "xs"), ("repetitions", 0), ("seed", -1)]
    + [("num_frames", 0), ("num_persons", 3), ("test_crop", 0.0), ("test_crop", 1.5)],
)
def test_values_out_of_range_are_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^dataset\.{key}={value}\b[^\n]*$"):
        SyntheticMotion(**{key: value})


@pytest.mark.parametrize("name", ["S001C001P001R002A001", "S001C004P001R001A001", "S002C001P001R001A001", "a1_s1_t1"])
def test_clips_of_other_datasets_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        DATA.read(Clip(name, 0, "train"))


# --- clips are reproducible


def test_a_clip_does_not_depend_on_earlier_reads() -> None:
    forward = {clip.name: DATA.read(clip) for clip in SAMPLE[:12]}
    backward = {clip.name: SyntheticMotion("cv", num_frames=7).read(clip) for clip in reversed(SAMPLE[:12])}
    for name, raw in forward.items():
        assert (raw.frames == backward[name].frames).all() and (raw.exists == backward[name].exists).all()


def test_seed_and_repetition_change_a_clip() -> None:
    data = SyntheticMotion(repetitions=2)
    name = SAMPLE[0].name
    again = Clip(name.replace("R001", "R002"), SAMPLE[0].label, "test")
    first = DATA.performance(SAMPLE[0])
    for other in (data.performance(again), SyntheticMotion(seed=1).performance(SAMPLE[0])):
        assert first.shape != other.shape or np.abs(first - other).max() > 0.01
    assert (data.read(SAMPLE[0]).frames == DATA.read(SAMPLE[0]).frames).all()


def test_clips_are_those_of_this_version_of_the_generator() -> None:
    """If this fails, clips have changed: raise GENERATOR, then write the new numbers here."""
    raw = DATA.read(CLIPS["S001C002P001R001A051"])
    assert raw.frames.shape == GOLDEN_SHAPE
    np.testing.assert_allclose(raw.frames[10, :, 11, :], GOLDEN, atol=2e-5)


GOLDEN_SHAPE = (89, 3, 25, 2)
GOLDEN = [[0.46776, -0.59865], [-0.19844, -0.19589], [3.03198, 3.40121]]  # x, y and z of both right hands in frame 10


def test_fingerprints_differ_exactly_if_clips_differ() -> None:
    variants: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"protocol": "cv"},
        {"num_actions": 59},
        {"repetitions": 2},
        {"num_persons": 1},
    ]
    prints = [SyntheticMotion(**variant).fingerprint() for variant in variants]
    assert len(set(prints)) == len(variants)
    assert SyntheticMotion(num_frames=32, test_crop=1.0).fingerprint() == prints[0]


def test_fingerprints_are_those_in_the_identities_of_runs() -> None:
    found = [made.fingerprint()[:16] for made in (SyntheticMotion(), SyntheticMotion("cv", 10, 2, 3, num_persons=1))]
    assert found == ["9f5dfb34748de410", "e04fd6e1024363f6"]
    assert SyntheticKinetics().fingerprint()[:16] == "eb0f9558223e34a3"


# --- bodies and their motion


def test_a_figure_without_turns_is_its_bones_end_to_end() -> None:
    offsets = bones(1.7, 1.05, 0.97, 1.1, 0.9)
    x = pose(np.zeros((2, len(DOFS))), offsets)
    for v, parent in NTU25.bones:
        np.testing.assert_allclose(x[:, v] - x[:, parent], np.stack([offsets[v]] * 2), atol=1e-12)
    np.testing.assert_allclose(x[:, [joint("left_foot"), joint("right_foot")]].mean(1), 0, atol=1e-12)


@pytest.mark.parametrize(
    ("freedoms", "bone", "direction"),
    [
        ({"left_arm": 90}, ("left_shoulder", "left_elbow"), (0, 0, 1)),
        ({"right_arm_out": 90}, ("right_shoulder", "right_elbow"), (-1, 0, 0)),
        ({"left_arm_out": 90, "left_arm_in": -90, "left_elbow": 90}, ("left_elbow", "left_wrist"), (0, 1, 0)),
        ({"right_elbow": 90, "right_arm_in": 90}, ("right_elbow", "right_wrist"), (1, 0, 0)),
        ({"right_leg": 90}, ("right_hip", "right_knee"), (0, 0, 1)),
        ({"right_leg": 90, "right_knee": 90}, ("right_knee", "right_ankle"), (0, -1, 0)),
        ({"bend": 90}, ("middle_of_spine", "spine"), (0, 0, 1)),
        ({"lean": 90}, ("middle_of_spine", "spine"), (-1, 0, 0)),
        ({"roll": 90}, ("middle_of_spine", "spine"), (-1, 0, 0)),
        ({"nod": 90 / 1.2}, ("spine", "neck"), (0, np.cos(np.pi / 12), np.sin(np.pi / 12))),
        ({"tilt": 90}, ("neck", "head"), (-0.085 / np.hypot(0.085, 0.01), 0, 0.01 / np.hypot(0.085, 0.01))),
        ({"look": 90 / 0.15, "left_arm": 90}, ("left_elbow", "left_wrist"), (1, 0, 0)),
        ({"pitch": 90}, ("left_hip", "left_knee"), (0, 0, -1)),
        ({"twist": 90, "left_arm": 90}, ("left_elbow", "left_wrist"), (1, 0, 0)),
        ({"bend": 60}, ("left_hip", "left_knee"), (0, -1, 0)),
        ({"turn": 90, "left_arm": 90}, ("left_elbow", "left_wrist"), (1, 0, 0)),
    ],
)
def test_freedoms_move_as_their_names_describe(
    freedoms: dict[str, float], bone: tuple[str, str], direction: tuple[float, ...]
) -> None:
    dofs = np.array([[float(freedoms.get(name, 0)) for name in DOFS]])
    x = pose(dofs, bones(1.75, 1, 1, 1, 1))[0]
    way = x[joint(bone[1])] - x[joint(bone[0])]
    np.testing.assert_allclose(way / np.linalg.norm(way), direction, atol=1e-9)


def test_bones_are_rigid_in_the_room() -> None:
    for clip in SAMPLE[:40]:
        length = bone_lengths(DATA.performance(clip))  # (F, P, bones)
        assert (length.std(0) / length.mean(0)).max() < 1e-6
        assert DATA.performance(clip)[..., 1].min() > -1e-9  # no joint is below the floor
    statures = np.array([DATA.performer(subject).stature for subject in range(1, 41)])
    legs = [bone_lengths(world("nod_head", s))[0, 0, NTU25.bones.index((13, 12))] for s in range(1, 41)]
    assert statures.min() > 1.5 and statures.max() < 1.95 and np.ptp(statures) > 0.3
    assert 0.01 < np.std(legs / statures) / np.mean(legs / statures) < 0.06  # proportions also differ


def test_people_stand_on_the_floor_as_tall_as_they_are() -> None:
    for subject in range(1, 41):
        x = world("nod_head", subject)[:, 0]
        assert (x[:, :, 1].min(1) < 0.01).all()
        head = x[:, joint("head"), 1]
        assert 0.85 < np.median(head) / DATA.performer(subject).stature < 1.0
        assert np.abs(x[:, [joint("left_foot"), joint("right_foot")], 1]).max() < 0.1


def test_actions_move_as_their_names_describe() -> None:
    hips, left, right = joint("base_of_spine"), joint("left_hand"), joint("right_hand")
    for subject in range(1, 7):
        wave = world("wave_right_hand", subject)[:, 0]
        assert wave[:, right, 1].max() > wave[:, left, 1].max() + 0.2
        wave = world("wave_left_hand", subject)[:, 0]
        assert wave[:, left, 1].max() > wave[:, right, 1].max() + 0.2
        sit, stand = (world(name, subject)[:, 0, hips, 1] for name in ("sit_down", "stand_up"))
        assert sit[0] - sit[-1] > 0.2 and stand[-1] - stand[0] > 0.2
        assert world("jump_up", subject)[:, 0, :, 1].min(1).max() > 0.08
        clap = world("clap", subject)[:, 0]
        assert np.linalg.norm(clap[:, left] - clap[:, right], axis=-1).min() < 0.25
        fall = world("fall_down", subject)[:, 0, joint("head"), 1]
        assert fall[-1] < 0.5 * fall[0]
        for name, nearer in (("walk_towards", True), ("walk_apart", False)):
            gap = np.linalg.norm(np.diff(world(name, subject)[:, :, hips], axis=1)[:, 0], axis=-1)
            assert (gap[-1] < gap[0] - 0.5) if nearer else (gap[-1] > gap[0] + 0.5)


SWAP = {"left": "right", "right": "left"}


def swapped(names: tuple[str, ...]) -> list[int]:
    """The index of each name's counterpart on the other side."""
    return [
        names.index("_".join([SWAP.get(name.split("_")[0], name.split("_")[0]), *name.split("_")[1:]]))
        for name in names
    ]


def test_a_mirrored_figure_is_a_mirror_image() -> None:
    dofs = np.random.default_rng(0).normal(0, 30, (20, len(DOFS)))
    signs = np.where([name in MIRRORED for name in DOFS], -1, 1)
    one, other = (pose(each, bones(1.75, 1, 1, 1, 1)) for each in (dofs, (dofs * signs)[:, swapped(DOFS)]))
    np.testing.assert_allclose(other[:, swapped(NTU25.joints)], one * (-1, 1, 1), atol=1e-9)


def test_left_handed_people_mirror_an_action() -> None:
    who = replace(DATA.performer(1), gains=np.ones(len(DOFS)), posture=np.zeros(len(DOFS)), sway=0.0)
    tracks, seconds = ACTIONS[DATA.classes.index("throw_forward")].tracks, np.arange(60) / 30
    one, other = (perform(tracks, who, seconds, m, np.random.default_rng(0)) for m in (False, True))
    for name, sign in (("right_arm", 1), ("right_elbow", 1), ("twist", -1)):
        d = DOFS.index(name)
        assert sign * np.corrcoef(one[:, d], other[:, swapped(DOFS)[d]])[0, 1] > 0.98
        assert np.ptp(one[:, d]) > 20
    for subject in range(1, 41):
        for action, left in (("drink_water", DATA.performer(subject).left_handed), ("wave_right_hand", False)):
            highest = world(action, subject)[:, 0, [joint("left_hand"), joint("right_hand")], 1].max(0)
            assert highest.argmax() == (0 if left else 1)
    assert 0 < sum(DATA.performer(subject).left_handed for subject in range(1, 41)) < 10


def test_two_persons_act_where_the_action_has_two() -> None:
    assert {name for name in DATA.classes if world(name).shape[1] == 2} == PAIRS
    first, second = bone_lengths(world("hug")[0])
    assert np.abs(first / second - 1).max() > 0.02  # two different persons
    for name in ("hug", "squat"):
        raw = DATA.read(clip_of(name))
        assert raw.exists.any(axis=(0, 1)).tolist() == [True, name in PAIRS]
        assert (raw.frames.transpose(0, 2, 3, 1) != 0).any(-1)[raw.exists].all()
        assert (raw.frames.transpose(0, 2, 3, 1)[~raw.exists] == 0).all()
        one = SyntheticMotion(num_persons=1).read(clip_of(name))
        assert (one.frames == raw.frames[..., :1]).all() and (one.exists == raw.exists[..., :1]).all()


# --- the cameras


def test_camera_views_differ_by_a_rigid_motion() -> None:
    for action in ("kick_forward", "handshake"):
        views = [DATA.camera(clip_of(action, 3, c)).view(DATA.performance(clip_of(action, 3, c))) for c in (1, 2, 3)]
        first = views[0].reshape(-1, 3)
        for view, degrees in zip(views[1:], (45, 90), strict=True):
            other = view.reshape(-1, 3)
            u, _, v = np.linalg.svd((first - first.mean(0)).T @ (other - other.mean(0)))
            rotation = (u @ v).T
            assert np.linalg.det(rotation) == pytest.approx(1)
            np.testing.assert_allclose((first - first.mean(0)) @ rotation.T, other - other.mean(0), atol=1e-9)
            assert np.degrees(np.arccos((np.trace(rotation) - 1) / 2)) == pytest.approx(degrees, abs=15)


def test_cameras_have_independent_errors_of_millimetres() -> None:
    errors = []
    for camera in (1, 2, 3):
        clip = clip_of("squat", 3, camera)
        raw, true = DATA.read(clip), DATA.camera(clip).view(DATA.performance(clip))[:, 0]
        assert raw.exists[..., 0].all()
        errors.append(raw.frames[..., 0].transpose(0, 2, 1) - true)
    spread = np.std(errors, axis=(0, 1, 3))
    assert 0.003 < spread[joint("spine")] < 0.010 < spread[joint("left_hand_tip")] < 0.04
    assert np.abs(np.corrcoef([error.ravel() for error in errors])[np.triu_indices(3, 1)]).max() < 0.15


def test_errors_last_and_grow_with_distance_and_when_hidden() -> None:
    figure = pose(np.zeros((1, len(DOFS))), bones(1.75, 1, 1, 1, 1))
    still = np.repeat(figure[:, None], 4000, axis=0) + (0, -1, 3)
    near = sense(still, np.random.default_rng(0)) - still
    far = sense(still + (0, 0, 1.5), np.random.default_rng(0)) - still - (0, 0, 1.5)
    depth = still[0, 0, 0, 2]
    np.testing.assert_allclose(far[:, 0, 0] / near[:, 0, 0], (1 + 1.5 / depth) ** 1.5, rtol=1e-6)
    assert np.corrcoef(near[:-1, 0, 0, 0], near[1:, 0, 0, 0])[0, 1] == pytest.approx(0.85, abs=0.03)
    behind = still.copy()
    behind[:, :, joint("left_elbow")] += (-0.2, 0, 0.4)  # behind the back, from the camera
    worse = sense(behind, np.random.default_rng(0)) - behind
    assert worse[:, 0, joint("left_elbow"), 0].std() > 2 * near[:, 0, joint("left_elbow"), 0].std()


def test_bones_jitter_as_on_kinect_clips() -> None:
    spreads = []
    for clip in SAMPLE:
        raw = DATA.read(clip)
        x = raw.frames[raw.exists[:, 0, 0], ..., 0].transpose(0, 2, 1)
        length = bone_lengths(x)
        spreads.append(length.std(0) / length.mean(0))
    assert 0.08 < np.mean(spreads) < 0.12
    assert np.mean(spreads, 0)[NTU25.bones.index((13, 12))] < 0.06  # a thigh


def test_bodies_are_where_a_kinect_records_them() -> None:
    lengths = []
    for clip in SAMPLE:
        raw = DATA.read(clip)
        assert raw.frames.dtype == np.float32 and raw.frames.shape == (len(raw.exists), 3, 25, 2)
        seen = raw.frames.transpose(0, 2, 3, 1)[raw.exists]
        assert seen[:, 2].min() > 1.5 and seen[:, 2].max() < 5
        for person in range(2):
            depth = raw.frames[raw.exists[:, 0, person], 2, 0, person]
            assert ((depth > 2) & (depth < 4.5)).all()
        lengths.append(len(raw.frames))
    assert 40 <= min(lengths) < 55 and 95 < max(lengths) <= 120
    for subject in (1, 20, 40):  # one who faces the camera has the left hip at the camera's right
        clip = clip_of("nod_head", subject, 2)
        x = DATA.camera(clip).view(DATA.performance(clip))[:, 0]
        assert (x[:, joint("left_hip"), 0] < x[:, joint("right_hip"), 0]).all()
        assert (x[:, joint("head"), 1] > x[:, joint("left_foot"), 1] + 1).all()


def test_people_face_the_second_camera_within_some_degrees() -> None:
    facing = []
    for subject in range(1, 41):
        across = np.diff(world("nod_head", subject)[:, 0, [joint("right_hip"), joint("left_hip")]], axis=1)[:, 0].mean(
            0
        )
        facing.append(np.degrees(np.arctan2(-across[2], across[0])))
    assert np.abs(facing).max() < 30 and 6 < np.std(facing) < 16


def test_a_few_clips_lose_a_body_for_a_few_frames() -> None:
    rng = np.random.default_rng(0)
    lost = [(~tracked(60, 2, rng)).sum(0) for _ in range(2000)]
    lengths = [int(n.sum()) for n in lost if n.any()]
    assert 60 < len(lengths) < 140 and set(lengths) == set(range(1, 7))
    assert all(n.min() == 0 for n in lost)
    clips = [DATA.read(clip) for clip in SAMPLE]
    gone = [raw for raw in clips if (raw.exists.any(0) & ~raw.exists.all(0)).any()]
    assert 0 < len(gone) < 20
    assert all((raw.frames.transpose(0, 2, 3, 1)[~raw.exists] == 0).all() for raw in gone)


def test_clips_become_batches() -> None:
    numbers = hashed_order(ALL, "test")[:4]
    prepared = SimpleNamespace(clips=ALL, digest="", raw=lambda i: DATA.read(ALL[i]))
    batch = load_batch(DATA, prepared, numbers)
    assert batch.x.shape == (4, 3, 64, 25, 2)
    assert [DATA.classes[label] in PAIRS for label in batch.y] == batch.mask[..., 1].flatten(1).any(1).tolist()


# --- classes can be distinguished, but not easily


def test_nearest_class_mean_is_between_chance_and_perfect() -> None:
    def features(subjects: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        clips = [clip for clip in CLIPS.values() if int(clip.name[9:12]) in subjects and clip.name[5:8] == "002"]
        x = []
        for clip in clips:
            raw = DATA.read(clip)
            frames, exists = resample(raw, 0, len(raw.frames), 12)
            x.append(((frames - frames[:, :, NTU25.center, None, :1]) * exists).ravel())
        return np.stack(x), np.array([clip.label for clip in clips])

    (x, y), (x_test, y_test) = features((1, 2, 4, 5)), features((3, 6))
    means = np.stack([x[y == label].mean(0) for label in range(60)])
    guess = ((x_test[:, None] - means) ** 2).sum(-1).argmin(1)
    assert 10 / 60 < (guess == y_test).mean() < 0.8

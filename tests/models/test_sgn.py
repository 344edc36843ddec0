"""SGN, compared with golden numbers of the authors' code, and its sequences with those of their loader."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_inputs import golden_clips, golden_state

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18
from skeleton_adv.models.network import Network
from skeleton_adv.models.preprocess import translated
from skeleton_adv.models.sgn import SGN
from skeleton_adv.models.sgn_front import Sequence, skeletons

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "sgn_ntu25_t20.json").read_text())


def test_sizes_are_read_from_weights() -> None:
    weights = golden_state(GOLDEN)
    SGN.from_weights(weights).load_state_dict(weights)
    small = SGN(num_joints=18, num_classes=7, channels=2, length=12, width=4)
    SGN.from_weights(small.state_dict()).load_state_dict(small.state_dict())
    del weights["fc.weight"]
    with pytest.raises(KeyError, match="fc"):
        SGN.from_weights(weights)


def test_another_number_of_frames_is_refused() -> None:
    with pytest.raises(SettingError, match="20 frames"):
        SGN(width=4)(torch.zeros(1, 3, 32, 25, 1))


def test_other_lengths_are_binned() -> None:
    """The 20 bins of 30 frames overlap; a network of any length has logits of every clip's own."""
    torch.manual_seed(0)
    model = SGN(num_joints=20, num_classes=5, length=30, width=4).double().eval()
    x = golden_clips(3, 3, 30, 20, 1, seed=1).double()
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=0, atol=1e-9)


def test_logits_are_averaged_over_samplings() -> None:
    torch.manual_seed(0)
    front = Sequence(KINECT20, samples=3).eval()
    network = Network(front, SGN(num_joints=20, num_classes=5, width=4)).eval()
    x = golden_clips(2, 3, 70, 20, 1, seed=1)
    apart = [network.model(front(x)[..., [k]]) for k in range(3)]
    torch.testing.assert_close(network(x), torch.stack(apart).mean(dim=0), rtol=0, atol=1e-6)
    assert not torch.equal(apart[0], apart[1]) and torch.equal(network(x), network(x))
    features = network.features(x)
    assert features["gcn2"].shape == (2, 60, 20, 16) and features["fc"].shape == (2, 3, 5)
    assert torch.equal(features["logits"], network(x))


def test_sequences_agree_with_the_authors_loader(shared: Path) -> None:
    stored = np.load(shared / "golden" / "denoised_pipeline.npz")
    for number, name in enumerate(stored["names"]):
        x = torch.from_numpy(stored["x"][number]).view(1, 300, 2, 25, 3).permute(0, 4, 1, 3, 2)
        expected = stored[f"{name}/sgn_sequence"]
        order, count = skeletons(x)
        frames = translated(x, NTU25.center).permute(0, 2, 4, 3, 1).reshape(600, 75)[order[0, : int(count)]]
        assert np.array_equal(frames.numpy(), expected)
        size = len(expected) // 20
        sampled = Sequence(NTU25).eval()(x)[0, :, :, :, 0].permute(1, 2, 0).reshape(20, 75)
        assert np.array_equal(sampled.numpy(), expected[size // 2 : 20 * size : size])


def test_frames_of_one_person() -> None:
    """Frames are numbered by their x coordinate; the first one is the centre."""
    for frames, sampling, expected in (
        (65, "released", range(1, 60, 3)),
        (32, "released", range(20)),
        (32, "whole", [int((i + 0.5) * 1.6) for i in range(20)]),
        (7, "whole", [*range(7), *[0] * 13]),
    ):
        x = torch.ones(1, 3, frames, 20, 1, dtype=torch.float64)
        x[0, 0] += torch.arange(frames)[:, None, None]
        x[0, 1] += torch.arange(20)[:, None]  # no two joints coincide
        found = Sequence(KINECT20, sampling=sampling).eval()(x)  # type: ignore[arg-type]
        assert found[0, 0, :, 0, 0].tolist() == list(expected)


def test_persons_become_frames() -> None:
    """Person 1 joins in frame 3; person 0 is absent from frame 5, and frame 0 is empty."""
    x = torch.zeros(1, 3, 40, 18, 2)
    for person, frames in ((0, [1, 2, 3, 4]), (1, [3, 4, 5])):
        for frame in frames:
            x[0, 0, frame, :, person] = 10 * frame + person
    found = Sequence(OPENPOSE18).eval()(x)[0, 0, :, 0, 0].tolist()
    assert found == [10, 20, 30, 31, 40, 41, 51] + [0] * 13
    assert not Sequence(OPENPOSE18).eval()(torch.zeros(2, 3, 40, 18, 2)).any()


def test_gradients_and_translation() -> None:
    x = golden_clips(2, 3, 25, 25, 2, seed=1).double()
    front = Sequence(NTU25, sampling="whole", samples=2).eval()
    moved = torch.where(x != 0, x + 1.5, 0)
    torch.testing.assert_close(front(moved), front(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(front(x)[1:], front(x[1:]), rtol=0, atol=0)
    rng = torch.Generator().manual_seed(0)
    direction = torch.where(x != 0, torch.randn(x.shape, generator=rng), 0)
    weight = torch.randn(front(x).shape, generator=rng)
    (gradient,) = torch.autograd.grad((front(x.requires_grad_()) * weight).sum(), x)
    change = (front(x + direction) - front(x)) * weight  # linear as long as the same joints exist
    torch.testing.assert_close((gradient * direction).sum(), change.sum(), rtol=1e-9, atol=0)


def test_training_draws_frames() -> None:
    front = Sequence(KINECT20)
    x = golden_clips(1, 3, 100, 20, 1, seed=1)
    assert not torch.equal(front(x), front(x))

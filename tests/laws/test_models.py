"""Laws of every model in ``conf/model``, on several skeletons, for one person and two."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import pytest
import torch
from conftest import make_batch
from options import SMALL, dataset_of, different_models, network_parts
from torch import Tensor, nn

from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20, NTU25, OPENPOSE18, Skeleton
from skeleton_adv.models.deep import deep
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.stages import stages_of
from skeleton_adv.models.weights import load_weights, save_weights

NAMES = different_models()
every = pytest.mark.parametrize("name", NAMES)
# Two persons in space, one person, and joints in an image with their scores: each model on the first, and on one of the
# others by turns; the rest by `make test-slow`.
OTHERS = [(KINECT20, 1), (OPENPOSE18, 2)]
turns = pytest.mark.parametrize(
    ("name", "skeleton", "persons"),
    [
        pytest.param(
            *(name, skeleton, persons),
            marks=[pytest.mark.slow] if (skeleton, persons) == OTHERS[number % 2] else [],
            id=f"{name}-{skeleton.name}",
        )
        for number, name in enumerate(NAMES)
        for skeleton, persons in [(NTU25, 2), *OTHERS]
    ],
)
# Networks whose parts are defined by joints: those that they can take.
ONLY = {"hdgcn": {"ntu25"}, "skateformer": {"ntu25", "kinect20"}}


def network_of(name: str, skeleton: Skeleton, persons: int, seed: int = 0) -> Network:
    """A copy of a narrow network, which is built once."""
    return deepcopy(_built(name, skeleton, persons, seed))


@cache
def _built(name: str, skeleton: Skeleton, persons: int, seed: int) -> Network:
    """A narrow network whose layers all count; skips the test if it refuses this skeleton, as it must."""
    parts = network_parts(name)
    only = next((known for family, known in ONLY.items() if name.startswith(family)), {skeleton.name})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if skeleton.name not in only:
            with pytest.raises(SettingError, match=skeleton.name) as caught:
                build_network(*parts, dataset_of(skeleton, persons))
            assert len(str(caught.value).splitlines()) == 1
            pytest.skip(f"{name} takes {sorted(only)} only, and says so")
        network = build_network(*parts, dataset_of(skeleton, persons)).eval()
    with torch.no_grad():
        for key, value in network.named_parameters():
            if "bn.weight" in key:  # a weight that starts at 1e-6 would hide the layers before it
                value.fill_(1.0)
            elif key.endswith(("alpha", "beta")):  # a factor that starts at 0 would hide a learned graph
                value.fill_(0.5)
            elif value.dim() == 4 and value.std() < 0.03:  # ST-GCN's first weights let almost nothing through
                torch.nn.init.kaiming_normal_(value, generator=torch.Generator().manual_seed(seed))
        if name.startswith(("pyskl", "sttformer", "infogcn")):  # without training, their units shrink or blow up clips
            for module in network.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.momentum = None  # the statistics of one batch
            with torch.random.fork_rng(devices=[]):
                network.train()(clips(skeleton, persons))
    return network.eval()


def clips(skeleton: Skeleton, persons: int, n: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    return make_batch(n=n, t=16, m=persons, skeleton=skeleton, dtype=dtype).x


def assert_equal_up_to_rounding(first: Tensor, second: Tensor) -> None:
    """On some CPUs, rounding depends on the place of a tensor in memory."""
    torch.testing.assert_close(first, second, rtol=0, atol=1e-4 * float(second.detach().abs().max()))


@pytest.mark.cases(12)
@turns
@torch.no_grad()
def test_logits_of_a_clip_do_not_depend_on_other_clips(name: str, skeleton: Skeleton, persons: int) -> None:
    """In evaluation mode, they are equal up to rounding at any shape."""
    network, x = network_of(name, skeleton, persons), clips(skeleton, persons)
    logits = network(x)
    assert logits.shape == (4, network.num_classes or logits.shape[1]) and network.num_classes in (5, None)
    assert (network.num_classes is None) is network.returns_features
    assert logits.isfinite().all() and logits.dtype == torch.float32
    assert not torch.allclose(logits[0], logits[1], rtol=0, atol=1e-4)
    order = [2, 0, 3, 1]
    assert_equal_up_to_rounding(network(x[order]), logits[order])
    torch.testing.assert_close(network(x[1:2]), logits[1:2], rtol=1e-4, atol=1e-4)


@pytest.mark.cases(12)
@turns
def test_gradients_are_those_of_finite_differences(name: str, skeleton: Skeleton, persons: int) -> None:
    """In float64, of a random sum of the outputs along two directions of movable entries.

    A full Jacobian would have thousands of columns. The step is very small, because none of 100,000 rectified numbers
    may change its sign.
    """
    network = network_of(name, skeleton, persons).double()
    batch = make_batch(n=2, t=16, m=persons, skeleton=skeleton)
    rng = torch.Generator().manual_seed(2)
    ways = torch.randn(2, *batch.x.shape, generator=rng, dtype=torch.float64) * batch.movable

    def along(far: Tensor) -> Tensor:
        logits: Tensor = network(batch.x + torch.einsum("k,k...->...", far, ways))
        share = torch.randn(logits.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
        return (share * logits).sum() / share.norm()

    start = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(along(start), start)
    assert slope.abs().max() > 1e-6
    eps = 1e-10 if name.startswith(("pyskl", "contrastive")) else 1e-9  # their layers are steeper, or outputs many
    assert torch.autograd.gradcheck(along, start, eps=eps, atol=1e-5, rtol=1e-3)


@pytest.mark.cases(12)
@every
@torch.no_grad()
def test_weights_come_back(name: str, tmp_path: Path) -> None:
    first, other = (network_of(name, NTU25, 2) for _ in range(2))
    for value in other.state_dict().values():  # parameters and buffers
        value.add_(1 if value.dtype == torch.long else 0.1)
    x = clips(NTU25, 2, n=2)
    assert not torch.equal(first(x), other(x))
    save_weights(first, tmp_path / "a.safetensors", {})
    load_weights(other, tmp_path / "a.safetensors")
    assert torch.equal(first(x), other(x))


@pytest.mark.cases(12)
@pytest.mark.parametrize(
    ("name", "persons"),
    [
        pytest.param(name, persons, marks=[pytest.mark.slow] if persons == 1 and number % 3 else [])
        for number, name in enumerate(NAMES)
        for persons in (1, 2)
    ],
)
def test_features_are_named_layers_the_last_of_them_the_logits(name: str, persons: int) -> None:
    network, x = network_of(name, NTU25, persons), clips(NTU25, persons).requires_grad_()
    layers = network.model.layers
    plain, found = network(x), network.features(x)
    assert list(found) == list(layers) and len(found) > 1
    last = list(found)[-1]
    assert torch.equal(found[last], plain) and torch.equal(network(x), plain)
    assert not [module for module in network.modules() if module._forward_hooks]
    with torch.no_grad():
        turned = network.features(x[[2, 0, 3, 1]])
    for key, by_person in layers.items():
        assert found[key].shape[: 1 + by_person] == ((4, persons) if by_person else (4,))
        assert_equal_up_to_rounding(turned[key], found[key][[2, 0, 3, 1]])
        (gradient,) = torch.autograd.grad(found[key].square().sum(), x, retain_graph=True)
        assert gradient.isfinite().all() and gradient.abs().max() > 0


@pytest.mark.cases(12)
@every
@torch.no_grad()
def test_stages_have_a_feature_per_channel_and_none_is_the_logits(name: str) -> None:
    """Channels are multiples of the width; frames, joints and classes are not, in all stages of a network."""
    network, x = network_of(name, NTU25, 2), clips(NTU25, 2, n=1)
    found, layers, classes = deep(network, x), network.features(x), len(dataset_of(NTU25, 2).classes)
    widths = [stage.shape[1] for stage in found.stages]
    unit = 4 if "agcn" in name or "encoder" in name else 12 if "msg3d" in name else SMALL["width"]
    assert len(widths) > 2 and not [width for width in widths if width % unit]
    linear = [part.weight for part in network.modules() if isinstance(part, nn.Linear | nn.Conv2d)]
    ends = [weight.shape[1] for weight in linear if len(weight) == classes]  # the last is what a classifier receives
    streams = network.streams(x)
    assert network.returns_features or widths[-1] == ends[-1] * len(streams)
    used = [layer for stage in stages_of(network.model) for layer in stage]
    assert len(set(used)) == len(used)
    assert not [layer for layer in used for logits in streams if torch.equal(layers[layer].flatten(1), logits)]
    rest = {layer: layers[layer].flatten(1) for layer in layers if layer not in used}
    assert all(value.shape[1] == found.logits.shape[1] for value in rest.values())  # no other layer is left out

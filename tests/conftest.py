"""Small clips with absent persons and missing joints, a linear victim, and the folder of shared data."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.skeleton import KINECT20, NTU25, Skeleton
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.weights import save_weights

CASES = "cases(count): a law with many cases, of which `make test` runs `count` and `make test-more` the others"
torch.set_num_threads(1)  # tensors are small, so more threads would only wait for each other
SHARED = Path(__file__).parents[2] / "shared"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", CASES)


@pytest.hookimpl(tryfirst=True)  # before tests are deselected by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases of a law beyond its ``cases`` as more; which ones are not is drawn by the law's name."""
    laws: dict[str, list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("cases") and not item.get_closest_marker("slow"):
            laws.setdefault(item.nodeid.split("[")[0], []).append(item)
    for name, found in laws.items():
        marker = found[0].get_closest_marker("cases")
        assert marker is not None
        for item in random.Random(name).sample(found, max(len(found) - marker.args[0], 0)):
            item.add_marker("more")


def make_batch(
    n: int = 4, t: int = 8, m: int = 2, skeleton: Skeleton = NTU25, seed: int = 0, dtype: torch.dtype = torch.float64
) -> SkeletonBatch:
    """Moving bodies with random bones; every second clip lacks the second person, and one joint is missing."""
    rng = torch.Generator().manual_seed(seed)
    v = skeleton.num_joints
    x = torch.zeros(n, 3, t, v, m, dtype=torch.float64)
    bones = torch.randn(n, 3, 1, v, m, generator=rng, dtype=torch.float64)
    bones = 0.25 * bones / bones.norm(dim=1, keepdim=True)
    wiggle = 0.03 * torch.randn(n, 3, t, v, m, generator=rng, dtype=torch.float64).cumsum(dim=2)
    order, known = [], {skeleton.root}
    while len(known) < v:
        fresh = [j for j, p in enumerate(skeleton.parents) if p in known and j not in known]
        order += fresh
        known |= set(fresh)
    x[:, :, :, skeleton.root] = wiggle[:, :, :, skeleton.root]
    x[:, 2] += 0.5
    for joint in order:
        x[:, :, :, joint] = x[:, :, :, skeleton.parents[joint]] + (bones + wiggle)[:, :, :, joint]
    mask = torch.ones(n, 1, t, v, m, dtype=torch.bool)
    if m > 1:
        mask[::2, ..., 1] = False
    mask[0, 0, t // 2, 5, 0] = t == 1
    x = torch.where(mask, x, 0).to(dtype)
    return SkeletonBatch(x, torch.arange(n) % 3, mask, torch.arange(n), torch.full((n,), 1 / 30), skeleton)


def linear_case(**shape: Any) -> tuple["Linear", SkeletonBatch]:
    """A linear victim that is correct on every clip, and its clips."""
    batch = make_batch(**shape)
    model = Linear(batch)
    return model, batch.with_labels(model(batch.x).argmax(dim=1))


class Linear(nn.Module):
    """``z = W x``, for which the nearest adversarial clip is known."""

    def __init__(self, batch: SkeletonBatch, classes: int = 5, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        size = batch.x[0].numel()
        weight = torch.randn(classes, size, generator=rng, dtype=torch.float64) / size**0.5
        self.weight = nn.Parameter(weight.to(batch.x.dtype), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) @ self.weight.T


@pytest.fixture
def batch() -> SkeletonBatch:
    return make_batch()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of data that a fresh clone does not contain."""
    if not SHARED.is_dir():
        pytest.skip("requires ../shared, whose data may not be copied to this repository")
    return SHARED


def write_motion(folder: Path) -> Path:
    """Artificial clips in UTD-MHAD's format: 3 actions x 4 subjects x 2 trials; actions differ in a hand's position."""
    from scipy.io import savemat

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.Generator(np.random.PCG64(0))
    for action in range(1, 4):
        for subject in range(1, 5):
            for trial in range(1, 3):
                frames = 40 + 3 * subject + trial
                body = make_batch(1, frames, 1, KINECT20, seed=7).x[0, ..., 0].numpy()
                body = body + 0.02 * rng.normal(size=(3, 1, 20))
                body[:, :, 7] += 0.3 * np.eye(3)[action - 1][:, None]
                name = f"a{action}_s{subject}_t{trial}_skeleton.mat"
                savemat(folder / name, {"d_skel": body.transpose(2, 0, 1)})
    return folder


def write_place(motion: Path, folder: Path) -> tuple[Path, tuple[str, ...]]:
    """A folder with a small victim, and the arguments of a short attack on it."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dataset = UTDMHAD(root=str(motion))
    network = build_network(lambda **facts: HCN(fc7=16, **facts), CenterPerFrame, dataset)
    network.model = HCN(fc7=16, num_joints=20, num_classes=27, num_frames=32)
    save_weights(network, folder / "small.safetensors", {"test_accuracy": 0.1})
    arguments = ["dataset=utd_mhad", f"dataset.root={motion}", "model.architecture.fc7=16", "batch_size=2"]
    arguments += ["model.checkpoint=small.safetensors", "attack.outer_steps=5", "attack.inner_steps=2"]
    return folder, tuple(arguments)


@pytest.fixture(scope="session")
def mat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_motion(tmp_path_factory.mktemp("utd_mhad"))


@pytest.fixture(scope="module")
def place(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a small victim, and the arguments of a short attack on it."""
    folder, arguments = write_place(mat_folder, tmp_path_factory.mktemp("place"))
    return folder, [*arguments]

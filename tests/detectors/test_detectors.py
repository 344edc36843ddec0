"""Detectors by hand and on Gaussian features; separable clips are separated, equal distributions are not."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from skeleton_adv.core.errors import SettingError
from skeleton_adv.detectors import Detector, Examples
from skeleton_adv.detectors.distances import distances, representatives
from skeleton_adv.detectors.trained import Trained
from skeleton_adv.detectors.untrained import LogitMargin, Mahalanobis, NearestNeighbours
from skeleton_adv.models.deep import Deep
from skeleton_adv.report.detection import Area, area

CLASSES, WIDTHS = 3, (4, 6)
DETECTORS: dict[str, Callable[[], Detector]] = {
    "mlp": lambda: Trained("mlp", "centroid", "l2", hidden=16, epochs=20, batch_size=32, lr=0.01),
    "lstm": lambda: Trained("lstm", "medoid", "cosine", hidden=16, epochs=20, batch_size=32, lr=0.01),
    "knn": lambda: NearestNeighbours(k=2),
    "mahalanobis": Mahalanobis,
    "logit_margin": LogitMargin,
}
each = pytest.mark.parametrize("name", DETECTORS)


def clips(count: int, seed: int, spread: float = 0.05, away: float = 0.0) -> Deep:
    """Clips near the centre of their class at each stage (``spread``), or ``away`` from it; classes in turn."""
    rng = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    stages = []
    for width in WIDTHS:
        centres = torch.eye(width)[:CLASSES] + 0.2
        noise = spread * torch.randn(count, width, generator=rng)
        stages.append(centres[labels] + noise + away * torch.eye(width)[CLASSES])
    logits = 10 * (1 - away) * torch.eye(CLASSES)[labels] + 0.1 * torch.randn(count, CLASSES, generator=rng)
    return Deep(tuple(stages), logits)


def examples(away: float) -> Examples:
    return Examples(clips(60, 0), torch.arange(60) % CLASSES, clips(60, 1), [clips(60, 2, away=away)])


def judged(name: str, away: float, seed: int = 0) -> Area:
    detector = DETECTORS[name]()
    score = detector.scorer(detector.fit(examples(away), seed))
    return area(score(clips(60, 3)).numpy(), score(clips(60, 4, away=away)).numpy())


@each
def test_separable_clips_have_an_area_of_one(name: str) -> None:
    assert judged(name, away=0.9).value == 1.0


@each
def test_clips_of_one_distribution_have_an_area_of_one_half(name: str) -> None:
    low, high = judged(name, away=0.0).interval
    assert low < 0.5 < high


@each
def test_gradients_reach_the_features_and_are_those_of_the_score(name: str) -> None:
    detector = DETECTORS[name]()
    score = detector.scorer(detector.fit(examples(0.9), 0))
    own = clips(3, 5)
    stages, logits = tuple(stage.clone().requires_grad_() for stage in own.stages), own.logits.clone().requires_grad_()
    value = score(Deep(stages, logits)).sum()
    value.backward()  # type: ignore[no-untyped-call]
    moved = logits if name == "logit_margin" else stages[-1]
    assert moved.grad is not None and moved.grad.abs().sum() > 0
    step = 1e-4 * moved.grad / moved.grad.norm()
    changed = Deep(stages, logits + step) if name == "logit_margin" else Deep((*stages[:-1], stages[-1] + step), logits)
    rise = float((score(changed).sum() - value).detach())
    assert rise == pytest.approx(float((moved.grad * step).sum()), rel=0.1)


@each
def test_a_fit_depends_on_its_seed_only(name: str) -> None:
    detector = DETECTORS[name]()
    first = detector.fit(examples(0.3), 0)
    torch.manual_seed(123)
    again, other = detector.fit(examples(0.3), 0), detector.fit(examples(0.3), 1)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert detector.supervised != all(torch.equal(first[key], other[key]) for key in first)


def test_distances_by_hand() -> None:
    x, others = torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0], [-6.0, -8.0]])
    assert distances(x, others, "l2")[0].tolist() == pytest.approx([5, 4, 15], abs=1e-5)
    assert distances(x, others[1:], "cosine")[0].tolist() == pytest.approx([0.4, 2])
    same = torch.ones(1, 2, requires_grad=True)
    distances(same, torch.ones(1, 2), "l2").sum().backward()  # type: ignore[no-untyped-call]
    assert same.grad is not None and same.grad.isfinite().all()


def test_representatives_by_hand() -> None:
    """Class 0 has points on a line at 0, 1 and 5: its mean is 2, its medoid 1. Class 2 has one; class 1 none."""
    x, labels = torch.tensor([[0.0, 0], [9, 9], [5, 0], [1, 0]]), torch.tensor([0, 2, 0, 0])
    assert representatives(x, labels, "centroid", "l2").tolist() == [[2, 0], [9, 9]]
    assert representatives(x, labels, "medoid", "l2").tolist() == [[1, 0], [9, 9]]
    angles = torch.tensor([0.0, 0.1, 1.0])  # the medoid by the cosine is the middle one, however long
    x = torch.stack([angles.cos(), angles.sin()], dim=1) * torch.tensor([[1.0], [100], [1]])
    assert torch.equal(representatives(x, torch.zeros(3), "medoid", "cosine")[0], x[1])


def test_mahalanobis_distances_are_those_of_numpy() -> None:
    rng = np.random.Generator(np.random.PCG64(0))
    mixing = rng.normal(size=(5, 5))
    labels = np.arange(400) % 2
    x = rng.normal(size=(400, 5)) @ mixing.T + 3 * labels[:, None]
    means = np.stack([x[labels == one].mean(axis=0) for one in (0, 1)])
    covariance = np.cov((x - means[labels]).T, bias=True)
    covariance = 0.8 * covariance + 0.2 * np.trace(covariance) / 5 * np.eye(5)
    new = rng.normal(size=(7, 5))
    away = new[:, None] - means
    expected = np.einsum("nkd,de,nke->nk", away, np.linalg.inv(covariance), away).min(axis=1)
    known = Deep((torch.from_numpy(x).float(),), torch.zeros(400, 2))
    detector = Mahalanobis(shrinkage=0.2)
    fitted = detector.fit(Examples(known, torch.from_numpy(labels), known, []), 0)
    found = detector.scorer(fitted)(Deep((torch.from_numpy(new).float(),), torch.zeros(7, 2)))
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-3)


def test_mahalanobis_distances_to_a_gaussian_have_the_mean_of_its_dimension() -> None:
    rng = torch.Generator().manual_seed(0)
    x, new = (torch.randn(4000, 8, generator=rng) @ torch.randn(8, 8, generator=rng) for _ in range(2))
    del new
    known = Deep((x,), torch.zeros(4000, 2))
    detector = Mahalanobis(shrinkage=1e-6)
    score = detector.scorer(detector.fit(Examples(known, torch.zeros(4000), known, []), 0))
    assert float(score(known).mean()) == pytest.approx(8, rel=1e-3)


def test_the_distance_to_the_kth_neighbour_by_hand() -> None:
    """Unit vectors at 0, 10, 20 and 40 degrees; a clip of any length at 0 degrees; chords of 10 and 20 degrees."""
    known = _at([0.0, 10, 20, 40])
    for k, angle in ((1, 0), (2, 10), (3, 20), (9, 40)):
        detector = NearestNeighbours(k)
        score = detector.scorer(detector.fit(Examples(known, torch.zeros(4), known, []), 0))
        found = float(score(Deep((7 * _at([0.0]).stages[0],), torch.zeros(1, 2))))
        assert found == pytest.approx(2 * np.sin(np.radians(angle / 2)), abs=1e-5)


def _at(degrees: list[float]) -> Deep:
    angles: Tensor = torch.tensor(degrees).deg2rad()
    return Deep((torch.stack([angles.cos(), angles.sin()], dim=1),), torch.zeros(len(degrees), 2))


def test_the_margin_by_hand() -> None:
    score = LogitMargin().scorer({})
    assert score(Deep((), torch.tensor([[1.0, 4, 2], [0, 0, -1]]))).tolist() == [-2, 0]


def test_attacks_have_equal_weight_in_a_batch() -> None:
    """10 natural clips, 90 and 10 adversarial ones: each group is a third of the draws."""
    detector = Trained(epochs=200)
    weights = torch.cat([torch.full((count,), 1 / count) for count in (10, 90, 10)])
    drawn = torch.cat([*detector._epochs(weights, seed=0)])
    shares = [float(((drawn >= low) & (drawn < high)).float().mean()) for low, high in ((0, 10), (10, 100), (100, 110))]
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)


@pytest.mark.parametrize("settings", [{"epochs": 0}, {"network": "cnn"}, {"distance": "l1"}, {"dropout": 1.0}])
def test_wrong_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingError, match=f"detector.{next(iter(settings))}"):
        Trained(**settings)  # type: ignore[arg-type]


class _Sizes(TorchDispatchMode):
    """Keeps the largest number of elements of a tensor that an operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        self.largest = max([self.largest, *(part.numel() for part in tree_leaves(made) if isinstance(part, Tensor))])
        return made


def test_differences_of_all_pairs_are_never_kept() -> None:
    """Distances (N, n) of features (N, D) to the training clips (n, D) need N n or n D numbers, not N n D."""
    rng = torch.Generator().manual_seed(0)
    training, own = (torch.randn(n, 32, generator=rng) for n in (200, 40))
    fitted = {"features": F.normalize(training, dim=1)}
    own.requires_grad_()
    with _Sizes() as sizes:
        scores = NearestNeighbours(k=3).scorer(fitted)(Deep((own,), own))
        scores.sum().backward()
        distances(own, training, "l2").sum().backward()
        representatives(training, torch.zeros(200), "medoid", "l2")
    assert sizes.largest <= 200 * 200
    expected = (F.normalize(own, dim=1)[:, None] - fitted["features"]).norm(dim=2).sort(dim=1).values[:, 2]
    torch.testing.assert_close(scores, expected)
    (gradient,) = torch.autograd.grad(expected.sum() + (own[:, None] - training).norm(dim=2).sum(), own)
    torch.testing.assert_close(own.grad, gradient)


def test_training_reads_the_loss_once_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each reading makes a GPU wait; there are four batches per epoch."""
    read, original = [], Tensor.__float__

    def counted(value: Tensor) -> float:
        read.append(value)
        return original(value)

    monkeypatch.setattr(Tensor, "__float__", counted)
    Trained("mlp", "centroid", "l2", hidden=4, epochs=5, batch_size=32).fit(examples(0.5), 0)
    assert len(read) == 5

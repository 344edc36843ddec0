"""Certificates, compared with closed forms, oracles, and the exact margins of linear victims."""

import numpy as np
import pytest
import torch
from conftest import Linear, linear_case, make_batch
from scipy.stats import binom, binomtest, norm
from statsmodels.stats.proportion import multinomial_proportions_confint, proportion_confint

from skeleton_adv.certificates.counts import count_classes
from skeleton_adv.certificates.radii import (
    ABSTAIN,
    clopper_pearson,
    cohen,
    goodman,
    least_draws,
    zheng,
)

CASES = [(0, 10), (5, 10), (10, 10), (993, 1000), (1000, 1000)]


@pytest.mark.parametrize(("hits", "draws"), CASES)
@pytest.mark.parametrize("alpha", [0.05, 0.001])
def test_clopper_pearson_agrees_with_the_oracle(hits: int, draws: int, alpha: float) -> None:
    low, _ = proportion_confint(hits, draws, alpha=2 * alpha, method="beta")
    assert clopper_pearson(hits, draws, alpha) == pytest.approx(low, abs=1e-12)
    exact = binomtest(hits, draws, alternative="greater").proportion_ci(1 - alpha, method="exact").low
    assert clopper_pearson(hits, draws, alpha) == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("counts", [[700, 200, 100], [1000, *[0] * 59], [520, 480], [17] * 60])
def test_goodman_agrees_with_the_oracle(counts: list[int]) -> None:
    low, high = goodman(torch.tensor(counts), 0.05)
    oracle = multinomial_proportions_confint(counts, alpha=0.05, method="goodman")
    np.testing.assert_allclose(np.stack([low, high], axis=1), oracle, rtol=0, atol=1e-12)


def test_largest_radii_are_those_of_the_published_analyses() -> None:
    """If all draws agree: 2.289 sigma in the paper's form (60 classes, 1000 draws), 3.811 at 100,000."""
    sure = torch.tensor([1000, *[0] * 59])
    assert zheng(sure, 1.0, 0.05).radius == pytest.approx(2.289, abs=1e-3)
    for draws, radius in ((10**3, 2.463), (10**4, 3.199), (10**5, 3.811)):
        counts = torch.tensor([draws, 0])
        assert cohen(counts, counts, 1.0, 0.001).radius == pytest.approx(radius, abs=1e-3)


def test_the_least_draws_that_certify_anything() -> None:
    for alpha in (0.05, 0.001, 0.25):
        n = least_draws(alpha)
        assert cohen(torch.tensor([n, 0]), torch.tensor([n, 0]), 1.0, alpha).pred == 0
        assert cohen(torch.tensor([n - 1, 0]), torch.tensor([n - 1, 0]), 1.0, alpha).pred == ABSTAIN


def test_two_classes_by_exact_enumeration() -> None:
    """Over every outcome of n draws, the certified radius exceeds the true radius with probability at most alpha.

    For a linear victim of two classes with margin r, a prediction under noise is correct with probability
    Phi(r / sigma).
    """
    n, alpha, sigma = 120, 0.001, 0.5
    outcomes = np.arange(n + 1)
    radii = np.array([cohen(torch.tensor([1, 0]), torch.tensor([k, n - k]), sigma, alpha).radius for k in outcomes])
    for true in np.linspace(0, 1.6, 60):
        p = norm.cdf(true / sigma)

        too_far = binom.pmf(outcomes, n, p)[radii > true].sum()
        assert too_far <= alpha * (1 + 1e-9)


def true_radius(model: Linear, batch, n: int) -> float:  # type: ignore[no-untyped-def]
    """Distance of clip n to the decision boundary of the linear victim, equal to the smoothed one's for two classes."""
    logits = model(batch.x)
    weight = model.weight.view(-1, *batch.x.shape[1:])
    across = (weight[0] - weight[1]) * batch.movable[n]
    return float((logits[n, 0] - logits[n, 1]).abs() / across.norm())


def test_a_linear_victim_of_two_classes_is_certified_soundly() -> None:
    """Thousands of repetitions: the radius exceeds the true margin with probability at most alpha (binomial test)."""
    model, batch = linear_case(n=4)
    model.weight.data = model.weight[:2]
    sigma, alpha, n, repetitions = 1.0, 0.05, 60, 4000
    true = torch.tensor([true_radius(model, batch, k) for k in range(4)])
    right = norm.cdf(true / sigma)
    rng = np.random.default_rng(0)
    for k in range(4):  # the distribution of the counts of count_classes, which a test below checks
        hits = rng.binomial(n, right[k], size=repetitions)
        radii = {h: cohen(torch.tensor([1, 0]), torch.tensor([h, n - h]), sigma, alpha).radius for h in set(hits)}
        too_far = sum(radii[h] > float(true[k]) for h in hits)
        assert binomtest(int(too_far), repetitions, alpha, alternative="greater").pvalue > 1e-4


def many_classes(n: int, sigma: float) -> tuple[torch.Tensor, np.ndarray, int]:
    """Clip n and a linear victim of seven classes: the distribution of its logits under noise, and its class.

    Returns the margins (K,), the distance from the boundary of each class (negative for classes that are not
    predicted), the logits (R, K) in 200,000 draws of noise on existing joints, and the predicted class.
    """
    _, batch = linear_case(n=4)
    model = Linear(batch, classes=7, seed=1)
    logits = model(batch.x)[n]
    weight = model.weight * batch.movable[n].expand_as(batch.x[n]).flatten()
    # Scaled so that the margin of the predicted class is a little more than sigma, and some certificates abstain.
    gaps = (logits[:, None] - logits) / (weight[:, None] - weight).norm(dim=2).fill_diagonal_(torch.inf)
    gaps.fill_diagonal_(torch.inf)
    winner = int(logits.argmax())
    scale = 1.2 * sigma / float(gaps[winner].min())
    rng = np.random.default_rng(n)
    spread = np.linalg.cholesky((weight @ weight.T).numpy())
    noisy = scale * logits.numpy() + sigma * rng.normal(size=(200_000, 7)) @ spread.T
    return scale * gaps.min(dim=1).values, noisy, winner


def test_many_linear_classes_are_certified_soundly() -> None:
    """Thousands of repetitions of noisy counts: the radius exceeds the true margin with probability at most alpha."""
    sigma, alpha, n0, n, repetitions = 0.5, 0.05, 20, 80, 2000
    for clip in range(4):
        margins, noisy, winner = many_classes(clip, sigma)
        answers = noisy.argmax(axis=1).reshape(repetitions, n0 + n)
        too_far = certified = 0
        for drawn in answers:
            selection, estimation = (np.bincount(part, minlength=7) for part in (drawn[:n0], drawn[n0:]))
            certificate = cohen(torch.tensor(selection), torch.tensor(estimation), sigma, alpha)
            certified += certificate.pred == winner
            too_far += certificate.pred != ABSTAIN and certificate.radius > max(float(margins[certificate.pred]), 0)
        assert certified > repetitions / 10  # otherwise the test checks nothing
        assert binomtest(too_far, repetitions, alpha, alternative="greater").pvalue > 1e-4


def test_many_linear_classes_by_exact_enumeration() -> None:
    """For every selected class and over every count of it, the radius is too large with probability at most alpha."""
    sigma, alpha, n = 0.5, 0.001, 200
    outcomes, chosen = np.arange(n + 1), torch.tensor([1, *[0] * 6])
    certificates = [cohen(chosen, torch.tensor([k, n - k, *[0] * 5]), sigma, alpha) for k in outcomes]
    radii = np.array([-1 if one.pred == ABSTAIN else one.radius for one in certificates])
    for clip in range(4):
        margins, noisy, _ = many_classes(clip, sigma)
        shares = np.bincount(noisy.argmax(axis=1), minlength=7) / len(noisy)
        for share, margin in zip(shares, margins.tolist(), strict=True):
            assert binom.pmf(outcomes, n, share)[radii > max(margin, 0)].sum() <= alpha


def test_a_certificate_of_many_classes_bounds_the_smoothed_victim() -> None:
    """The class has a known probability p under noise, so no radius beyond sigma Phi^-1(p) is sound."""
    rng = np.random.default_rng(1)
    p = np.array([0.62, 0.2, 0.1, 0.05, 0.03])
    sigma, alpha, n0, n, repetitions = 0.5, 0.05, 20, 80, 4000
    sound = sigma * norm.ppf(p[0])
    too_far = 0
    for _ in range(repetitions):
        certificate = cohen(torch.tensor(rng.multinomial(n0, p)), torch.tensor(rng.multinomial(n, p)), sigma, alpha)
        too_far += certificate.pred not in (0, ABSTAIN) or (certificate.pred == 0 and certificate.radius > sound)
    assert binomtest(too_far, repetitions, alpha, alternative="greater").pvalue > 1e-4


def test_goodmans_intervals_cover_less_than_nominal_with_many_sparse_classes() -> None:
    """The paper's form uses these intervals: 60 classes, most of them rare, 1000 draws, nominal 95 %."""
    rng = np.random.default_rng(0)
    p = np.array([0.55, *[0.45 / 59] * 59])
    p_sparse = np.array([0.94, *[0.06 / 59] * 59])
    coverage = []
    for law in (p, p_sparse):
        covered = 0
        for _ in range(2000):
            low, high = goodman(torch.tensor(rng.multinomial(1000, law)), 0.05)
            covered += bool(((low.numpy() <= law) & (law <= high.numpy())).all())
        coverage.append(covered / 2000)
    assert coverage == pytest.approx([0.87, 0.80], abs=0.03)


def test_counts_have_the_distribution_of_noise_on_existing_joints() -> None:
    model, batch = linear_case(n=3)
    model.weight.data = model.weight[:2]
    sigma, draws = 2.0, 3000
    counts = count_classes(
        lambda x, repeated: model(x),
        batch,
        sigma=sigma,
        draws=range(draws),
        at_once=100,
        num_classes=2,
        seed=0,
        purpose="c",
    )
    assert (counts[:, :-1].sum(dim=1) == draws).all() and not counts[:, -1].any()
    for k in range(3):
        winner = int(model(batch.x)[k].argmax())
        p = norm.cdf(true_radius(model, batch, k) / sigma)
        assert binomtest(int(counts[k, winner]), draws, p).pvalue > 1e-3


def test_counts_in_parts_are_the_counts_of_the_whole() -> None:
    model, batch = linear_case(n=3)

    def count(draws: range, at_once: int, which: slice = slice(None)) -> torch.Tensor:
        part = make_part(batch, which)
        settings = {"sigma": 1.5, "num_classes": 5, "seed": 3, "purpose": "c"}
        return count_classes(lambda x, repeated: model(x), part, draws=draws, at_once=at_once, **settings)  # type: ignore[arg-type]

    whole = count(range(50), 8)
    assert torch.equal(whole, count(range(20), 8) + count(range(20, 50), 7))
    assert torch.equal(whole[1:2], count(range(50), 50, slice(1, 2)))


def make_part(batch, which: slice):  # type: ignore[no-untyped-def]
    from dataclasses import replace

    names = ("x", "y", "mask", "index", "dt")
    return replace(batch, **{name: getattr(batch, name)[which] for name in names})


def test_absent_joints_get_no_noise() -> None:
    batch = make_batch(n=2)
    seen = []

    def predict(x: torch.Tensor, repeated: object) -> torch.Tensor:
        seen.append(x)
        return torch.zeros(len(x), 2)

    count_classes(predict, batch, sigma=1.0, draws=range(3), at_once=3, num_classes=2, seed=0, purpose="c")
    moved = seen[0].view(3, *batch.x.shape) - batch.x
    assert not moved[:, ~batch.movable].any() and (moved[:, batch.movable] != 0).all()


def test_draws_without_a_prediction_count_as_a_class_that_is_never_certified() -> None:
    """By hand: they count in n, and in the paper's form as an additional class; without them, nothing changes."""
    counts = torch.tensor([60, 25, 5])
    lost = cohen(counts, counts, 0.5, 0.001, lost=10)
    assert lost.p_low == pytest.approx(clopper_pearson(60, 100, 0.001), abs=0)
    assert lost == cohen(counts, torch.tensor([60, 25, 15]), 0.5, 0.001)
    assert cohen(counts, counts, 0.5, 0.001, lost=0) == cohen(counts, counts, 0.5, 0.001)
    for number, rival in ((10, 25), (26, 26), (59, 59)):
        four = torch.tensor([60, 25, 5, number])
        low, high = goodman(four, 0.05)
        place = [25, 5, number].index(rival) + 1
        expected = max(0.25 * float(norm.ppf(low[0]) - norm.ppf(high[place])), 0)
        found = zheng(counts, 0.5, 0.05, lost=number)
        assert found.pred == 0 and found.radius == pytest.approx(expected, abs=1e-15)
        assert found.p_low == pytest.approx(float(low[0]), abs=0) and found.radius <= zheng(counts, 0.5, 0.05).radius
    for number in (60, 10**6):
        assert zheng(counts, 0.5, 0.05, lost=number).pred == ABSTAIN
    nothing = torch.zeros(3, dtype=torch.long)
    assert cohen(nothing, nothing, 0.5, 0.001, lost=100).pred == zheng(nothing, 0.5, 0.05, lost=100).pred == ABSTAIN


def test_draws_without_a_prediction_are_counted_in_the_last_column() -> None:
    batch = make_batch(n=2)
    outputs = [[torch.nan, 1.0], [0.0, torch.inf], [0.0, -torch.inf], [0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]

    def predict(x: torch.Tensor, repeated: object) -> torch.Tensor:
        return torch.tensor(outputs)  # three draws of two clips

    settings = {"sigma": 1.0, "at_once": 3, "num_classes": 2, "seed": 0, "purpose": "c"}
    assert count_classes(predict, batch, draws=range(3), **settings).tolist() == [[1, 0, 2], [0, 2, 1]]  # type: ignore[arg-type]

"""ADMM, compared with a literal transcription of Algorithm 1."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import linear_case, make_batch
from torch import Tensor, nn

from skeleton_adv.attacks.admm import admm
from skeleton_adv.attacks.losses import fooled, margin
from skeleton_adv.attacks.start import start_passes, started
from skeleton_adv.constraints import BoneLength, JointAngle, Speed
from skeleton_adv.core.batch import SkeletonBatch
from skeleton_adv.core.errors import SettingError
from skeleton_adv.models.hcn import HCN

CONSTRAINTS = {"bone": BoneLength(), "angle": JointAngle(), "speed": Speed()}


def literal(
    model: nn.Module,
    batch: SkeletonBatch,
    beta: float,
    outer: int,
    inner: int,
    lr: float,
    reduction: str = "sum",
    loss: str = "untargeted",
    falling: bool = False,
) -> Tensor:
    """Algorithm 1 for one clip at a time, with the formulas of Adam, all constraints and all losses written out."""
    parents = torch.tensor([p for _, p in batch.skeleton.bones])
    children = torch.tensor([c for c, _ in batch.skeleton.bones])
    ends, middles, others = torch.tensor(batch.skeleton.angles).T
    results = []
    for n in range(len(batch)):
        x, y, there = batch.x[n], int(batch.y[n]), batch.mask[n, 0]
        adv = x.clone().requires_grad_()
        first, second = torch.zeros_like(x), torch.zeros_like(x)
        exist = [
            there[:, children] & there[:, parents],
            there[:, ends] & there[:, middles] & there[:, others],
            there[1:] & there[:-1],
        ]
        shares = {
            "sum": [1.0] * 3,
            "mean": [1 / int(e.sum()) for e in exist],
            "mean_all": [1 / e.numel() for e in exist],
        }[reduction]

        def violations(a: Tensor, x: Tensor = x, exist: list[Tensor] = exist) -> list[Tensor]:
            b0, b1 = ((z[:, :, children] - z[:, :, parents]).square().sum(0).add(1e-300).sqrt() for z in (x, a))
            bone = torch.relu((b1 - b0).abs() - 0.01 * b0) / (b0 + 1e-5)
            d = (a - x).square().sum(0).add(1e-300).sqrt()
            l1 = (x[:, :, ends] - x[:, :, middles]).norm(dim=0) + 1e-5
            l2 = (x[:, :, others] - x[:, :, middles]).norm(dim=0) + 1e-5
            j = d[:, ends] / l1 + d[:, others] / l2 + d[:, middles] / l1 + d[:, middles] / l2
            s0, s1 = ((z[:, 1:] - z[:, :-1]).square().sum(0).add(1e-300).sqrt() for z in (x, a))
            speed = torch.relu((s1 - s0).abs() - 0.1 * s0) / (s0 + 1e-4)
            return [h * e for h, e in zip((bone, torch.relu(j - 0.1), speed), exist, strict=True)]

        def main_loss(z: Tensor, y: int = y) -> Tensor:
            rest = torch.cat([z[:y], z[y + 1 :]]).max()
            if loss == "cross_entropy":
                return z.logsumexp(0) - z[y]
            return torch.relu((rest - z[y] if loss == "margin" else z[y] - rest) + 1)

        duals = [torch.zeros_like(h) for h in violations(x)]
        step = 0
        for _ in range(outer):
            for _ in range(inner):
                step += 1
                g = main_loss(model(adv[None])[0])
                for h, dual, share in zip(violations(adv), duals, shares, strict=True):
                    g = g + share * ((dual * h).sum() + beta / 2 * (h**2).sum())
                (grad,) = torch.autograd.grad(g, adv)
                grad = grad * there
                first = 0.9 * first + 0.1 * grad
                second = 0.999 * second + 0.001 * grad**2
                move = (first / (1 - 0.9**step)) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
                rate = lr * (1 - (step - 1) / (outer * inner)) if falling else lr
                adv = (adv.detach() - rate * move).requires_grad_()
            duals = [dual + beta * h.detach() for dual, h in zip(duals, violations(adv), strict=True)]
        results.append(adv.detach())
    return torch.stack(results)


@pytest.mark.parametrize("reduction", ["sum", "mean", "mean_all"])
@pytest.mark.parametrize("loss", ["untargeted", "cross_entropy", "margin"])
def test_agrees_with_algorithm_1(reduction: Any, loss: Any) -> None:
    model, batch = linear_case(n=3, t=6)
    targeted = loss != "untargeted"
    if targeted:
        batch = batch.with_labels((batch.y + 2) % 5)
    # Large enough that every term matters, even under a mean.
    beta = 0.5 if reduction == "sum" else 200.0
    expected = literal(model, batch, beta, outer=4, inner=5, lr=2e-3, reduction=reduction, loss=loss)
    got = admm(
        model,
        batch,
        constraints=CONSTRAINTS,
        targeted=targeted,
        targeted_loss="margin" if loss == "margin" else "cross_entropy",
        beta=beta,
        outer_steps=4,
        inner_steps=5,
        lr=2e-3,
        reduction=reduction,
    )
    assert (expected - batch.x).abs().max() > 5e-3
    torch.testing.assert_close(got.x_adv, expected, rtol=0, atol=1e-9)


def test_a_targeted_attack_reaches_its_target() -> None:
    model, batch = linear_case(n=6)
    aimed = batch.with_labels((batch.y + 1) % 5)
    for targeted_loss in ("cross_entropy", "margin"):
        result = admm(
            model,
            aimed,
            constraints=CONSTRAINTS,
            targeted=True,
            targeted_loss=targeted_loss,  # type: ignore[arg-type]
            beta=0.01,
            lr=5e-3,
        )
        assert result.found.all() and (model(result.x_adv).argmax(dim=1) == aimed.y).all()


VARIANTS: list[dict[str, Any]] = [
    {},
    {"targeted": True},
    {"targeted": True, "targeted_loss": "margin"},
    {"reduction": "mean_all"},
    {"keep": "best", "beta": 0.01},
]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_only_existing_joints_move_and_found_is_correct(variant: dict[str, Any]) -> None:
    model, batch = linear_case(dtype=torch.float32)
    result = admm(model, batch, constraints=CONSTRAINTS, outer_steps=3, lr=5e-3, **variant)
    moved = result.x_adv != batch.x
    assert not (moved & ~batch.movable).any() and moved.any()
    targeted = variant.get("targeted", False)
    assert torch.equal(result.found, fooled(model(result.x_adv), batch.y, targeted))
    assert result.found.any() and not result.x_adv.requires_grad


def test_clips_do_not_depend_on_other_clips() -> None:
    """In chunks of a fixed shape, the result of a clip is bit-equal for any other clips in the chunk."""
    model, batch = linear_case(n=8, dtype=torch.float32)
    turned = torch.tensor([0, 7, 1, 6, 2, 5, 3, 4])
    other = SkeletonBatch(
        batch.x[turned], batch.y[turned], batch.mask[turned], batch.index[turned], batch.dt, batch.skeleton
    )
    a, b = (admm(model, z, constraints=CONSTRAINTS, outer_steps=3).x_adv for z in (batch, other))
    assert torch.equal(a[turned], b)


def test_larger_beta_means_smaller_violations() -> None:
    model, batch = linear_case(n=6)
    total = []
    for beta in (0.1, 1, 10, 100):
        x_adv = admm(model, batch, constraints=CONSTRAINTS, beta=beta, lr=5e-3, conf=5.0).x_adv
        total.append(sum(c.violation(x_adv, batch).mean().item() for c in CONSTRAINTS.values()))
    assert total == sorted(total, reverse=True) and total[-1] < 0.5 * total[0]


def test_best_is_the_success_with_the_smallest_violation() -> None:
    model, batch = linear_case(n=6)
    seen: list[Tensor] = []

    def watched(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return model(x)  # type: ignore[no-any-return]

    result = admm(watched, batch, constraints=CONSTRAINTS, beta=3.0, lr=5e-3, outer_steps=8, keep="best")

    def worst(x_adv: Tensor) -> Tensor:
        largest = [constraint.violation(x_adv, batch).amax(dim=1) for constraint in CONSTRAINTS.values()]
        return torch.stack(largest).amax(dim=0)

    fooling = torch.stack([fooled(model(x), batch.y, False) for x in seen])
    violations = torch.stack([worst(x) for x in seen]).where(fooling, torch.inf)
    assert len(seen) == 81 and result.found.any()
    assert torch.equal(result.found, fooling.any(dim=0))
    torch.testing.assert_close(worst(result.x_adv)[result.found], violations.amin(dim=0)[result.found])
    latest = [int(fooling[:, n].nonzero().max()) for n in range(6) if fooling[:, n].any()]
    best = violations.argmin(dim=0)[result.found].tolist()
    assert best != latest  # the last success is not the best one here


def test_trace_begins_at_the_clean_clip() -> None:
    model, batch = linear_case()
    trace = admm(model, batch, constraints=CONSTRAINTS, outer_steps=2, trace=True).trace
    assert trace is not None and set(trace) == {"loss", *CONSTRAINTS}
    assert {tuple(values.shape) for values in trace.values()} == {(20, 4)}
    torch.testing.assert_close(trace["loss"][0], (margin(model(batch.x), batch.y) + 1).relu())
    assert trace["bone"][0].abs().max() == 0 and trace["bone"][-1].max() > 0


def test_a_learning_rate_that_falls_is_that_of_the_formula() -> None:
    model, batch = linear_case(n=2, t=6)
    settings: dict[str, Any] = {"beta": 0.5, "lr": 2e-3}
    expected = literal(model, batch, outer=3, inner=4, falling=True, **settings)
    steps = {"outer_steps": 3, "inner_steps": 4, "reduction": "sum", **settings}
    got = admm(model, batch, constraints=CONSTRAINTS, falling=True, **steps)
    torch.testing.assert_close(got.x_adv, expected, rtol=0, atol=1e-9)
    assert not torch.equal(got.x_adv, admm(model, batch, constraints=CONSTRAINTS, **steps).x_adv)


@pytest.mark.parametrize("start", ["ddn", "cw"])
@pytest.mark.parametrize("targeted", [False, True])
def test_a_start_that_fools_the_model_is_never_made_worse(start: Any, targeted: bool) -> None:
    model, batch = linear_case(n=6)
    aimed = batch.with_labels((batch.y + 1) % 5) if targeted else batch
    calls: list[int] = []

    def counted(x: Tensor) -> Tensor:
        calls.append(1)
        return model(x)  # type: ignore[no-any-return]

    first = started(counted, aimed, targeted, start, 20)
    assert len(calls) == start_passes(start, 20)
    assert fooled(model(first), aimed.y, targeted).all()
    settings: dict[str, Any] = {"constraints": CONSTRAINTS, "beta": 100.0, "outer_steps": 3, "start_steps": 20}
    kept = admm(model, aimed, targeted=targeted, start=start, keep="best", **settings)
    plain = admm(model, aimed, targeted=targeted, keep="best", **settings)
    assert kept.found.all() and not plain.found.all()
    limits = [constraint.on(batch) for constraint in CONSTRAINTS.values()]
    worst = [torch.stack([one.violation(x).amax(dim=1) for one in limits]).amax(dim=0) for x in (kept.x_adv, first)]
    assert (worst[0] <= worst[1]).all() and (worst[0] < worst[1]).any()


@pytest.mark.parametrize(("key", "value"), [("beta", -3), ("lr", 0), ("outer_steps", 0), ("keep", "worst")])
def test_a_value_out_of_range_is_named(key: str, value: Any) -> None:
    model, batch = linear_case(n=1)
    with pytest.raises(SettingError, match=f"{key}={value}"):
        admm(model, batch, constraints=CONSTRAINTS, **{key: value})


@pytest.mark.parametrize("persons", [1, 2])
def test_agrees_with_algorithm_1_on_hcn(persons: int) -> None:
    """The memory layout of clips may differ from that of their gradients, which must not change the result."""
    batch = make_batch(n=2, t=16, m=persons)
    batch = replace(batch, x=batch.x.transpose(1, 2).contiguous().transpose(1, 2))
    torch.manual_seed(0)
    model = HCN(num_frames=16, fc7=16, num_classes=5).double().eval().requires_grad_(False)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
        batch = batch.with_labels(model(batch.x).argmax(dim=1))
    expected = literal(model, batch, beta=0.5, outer=3, inner=4, lr=2e-3)
    got = admm(model, batch, constraints=CONSTRAINTS, beta=0.5, outer_steps=3, inner_steps=4, lr=2e-3, reduction="sum")
    assert (expected - batch.x).abs().max() > 5e-3
    torch.testing.assert_close(got.x_adv, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("keep", ["last", "best"])
def test_a_stop_that_never_comes_takes_the_same_steps(keep: Any) -> None:
    model, batch = linear_case(n=4, t=4)
    settings: dict[str, Any] = {"constraints": CONSTRAINTS, "outer_steps": 8, "inner_steps": 3, "keep": keep}
    usual, never = admm(model, batch, **settings), admm(model, batch, stop=1e-12, **settings)
    torch.testing.assert_close(never.x_adv, usual.x_adv)
    assert torch.equal(never.found, usual.found)


def test_a_clip_stops_where_its_margin_is_met_and_nothing_changes() -> None:
    """The last steps are short, and no clip waits for the others."""
    model, batch = linear_case(n=4, t=4)
    settings: dict[str, Any] = {
        "constraints": CONSTRAINTS,
        "outer_steps": 60,
        "inner_steps": 5,
        "lr": 3e-3,
        "conf": 0.1,
        "beta": 0.01,
    }
    calls = [0]

    def counted(x: Tensor) -> Tensor:
        calls[0] += 1
        return model(x)  # type: ignore[no-any-return]

    result = admm(counted, batch, stop=0.9, **settings)
    assert 11 * 5 < calls[0] < 60 * 5 and result.found.all()
    assert torch.equal(result.found, fooled(model(result.x_adv), batch.y, False))
    for n in range(4):
        one = replace(batch, **{name: getattr(batch, name)[n : n + 1] for name in ("x", "y", "mask", "index", "dt")})
        torch.testing.assert_close(admm(model, one, stop=0.9, **settings).x_adv, result.x_adv[n : n + 1])

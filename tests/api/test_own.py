"""Networks and clips of a user's own."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from options import chosen, options
from own import K, Net, T, V, body, clips, victim
from torch import Tensor, nn

import skeleton_adv as sa
from skeleton_adv import __main__, tables
from skeleton_adv.core.errors import UserError

FAST: dict[str, Any] = {"steps": 3, "step": 0.01, "random_start": False}


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
@pytest.mark.parametrize("layout", ["NTVC", "NCTVM", "list"])
def test_clips_come_back_in_their_unit_and_layout(unit: str, factor: int, layout: str) -> None:
    array = body()
    given = array * factor
    if layout == "NCTVM":
        given = given.transpose(0, 3, 1, 2)[..., None]
    result = sa.attack(victim(), clips(given if layout != "list" else list(given), unit=unit), "pgd", eps=0.01, **FAST)
    assert result.x.shape == result.x_adv.shape == given.shape
    np.testing.assert_allclose(result.x, given, rtol=1e-5)  # T frames are given, so none is resampled
    moved = result.x_adv - result.x
    assert 0 < np.abs(moved).max() <= 0.01 * factor * 1.01
    axes = tuple(range(1, moved.ndim))
    np.testing.assert_allclose(np.sqrt((moved.astype(np.float64) ** 2).sum(axis=axes)) / factor, result.l2, rtol=1e-4)


def test_one_step_of_the_sign_is_exact_on_a_linear_network() -> None:
    """The margin of a linear network falls by eps times the l1 norm of the difference of two weights."""
    net, array, eps = Net(), body(clips=8), 0.003
    labels = net(_batch(array)).argmax(dim=1).numpy()
    own = sa.clips(array, labels, skeleton="kinect20", unit="m", classes=["a", "b", "c"])
    result = sa.attack(
        sa.Victim(net, skeleton="kinect20", num_frames=T), own, "fgsm", eps=eps, overrides=["attack.loss=margin"]
    )
    logits = net(_batch(array)).detach().double()
    for clip, label in enumerate(labels):
        margins = {other: logits[clip, label] - logits[clip, other] for other in range(K) if other != label}
        nearest = min(margins, key=lambda other: float(margins[other]))
        expected = _batch(array[clip : clip + 1]) - eps * (net.weight[label] - net.weight[nearest]).detach().sign()
        np.testing.assert_allclose(result.x_adv[clip], expected[0, ..., 0].permute(1, 2, 0), atol=1e-6)
    assert result.clean_accuracy.value == 1
    assert (result.success == (net(_batch(result.x_adv)).argmax(dim=1).numpy() != labels)).all()


def _batch(array: np.ndarray) -> Tensor:
    return torch.as_tensor(array).permute(0, 3, 1, 2)[..., None]


def test_absent_joints_are_zero_and_never_move() -> None:
    array = body()
    array[1, 3, 7] = np.nan
    array[2, :, 4, 1] = np.nan  # one coordinate is enough
    result = sa.attack(victim(), clips(array), "pgd", eps=0.05, **FAST)
    for place in ((1, 3, 7), (2, slice(None), 4)):  # NaN was given, so NaN is returned
        assert np.isnan(result.x_adv[place]).all() and np.isnan(result.x[place]).all()
        assert not result.mask[place].any()
    assert result.mask.shape == array.shape[:3] and (~result.mask).sum() == 1 + T
    assert np.isfinite(result.x_adv[result.mask]).all() and np.isfinite(result.l2).all()
    mask = np.ones(array.shape[:3], bool)
    mask[0, :, 5] = False
    masked = sa.attack(victim(), clips(body(), mask=mask), "pgd", eps=0.05, **FAST)
    assert (masked.x_adv[0, :, 5] == 0).all() and (masked.x_adv[1, :, 5] != 0).all()


def test_a_network_of_an_image_skeleton_may_ignore_or_lack_the_score() -> None:
    """Clips with and without a score fit networks with and without it, and give the same perturbation."""

    class Flat(nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            generator = torch.Generator().manual_seed(0)
            self.weight = nn.Parameter(torch.randn(2, 2, T, 17, 1, generator=generator))
            self.channels = channels

        def forward(self, x: Tensor) -> Tensor:
            assert x.shape[1] == self.channels
            return torch.einsum("nctvm,kctvm->nk", x[:, :2], self.weight)

    rng = np.random.default_rng(0)
    pixels = rng.uniform(100, 400, (4, T, 17, 2))
    scored = np.concatenate([pixels, np.ones((4, T, 17, 1))], axis=3)
    image: dict[str, Any] = {"skeleton": "coco17", "unit": "px", "image_size": (640, 480)}
    moved = []
    for channels, array in itertools.product((2, 3), (pixels, scored)):
        own = sa.Victim(Flat(channels), skeleton="coco17", num_frames=T, unit="image")
        result = sa.attack(own, sa.clips(array, [0, 1, 0, 1], **image), "pgd", eps=0.01, **FAST)
        assert result.x_adv.shape == array.shape
        moved.append((result.x_adv - result.x)[..., :2])
        if array.shape[3] == 3:
            assert (result.x_adv[..., 2] == 1).all()
    assert all((one == moved[0]).all() for one in moved) and np.abs(moved[0]).max() > 1


def test_clips_of_any_length_are_resampled_and_the_numbers_printed(capsys: pytest.CaptureFixture[str]) -> None:
    arrays = [body(frames, 1, seed)[0] for seed, frames in enumerate((6, 11, 30))]
    result = sa.attack(victim(), clips(arrays), "pgd", **FAST)
    assert result.x_adv.shape == (3, T, V, 3)
    assert f"clips of 6 to 30 frames are resampled to the victim's {T}" in capsys.readouterr().err


def test_labels_by_name_and_names_of_clips() -> None:
    own = sa.clips(body(clips=4), ["run", "walk", "run", "sit"], skeleton="kinect20", unit="m", names=[*"abcd"])
    assert own.classes == ("run", "sit", "walk") and own.labels.tolist() == [0, 2, 0, 1] and own.names == [*"abcd"]
    assert sa.attack(victim(classes=own.classes), own, "pgd", **FAST).names == [*"abcd"]


def attacks() -> list[Any]:
    """The attacks that require no training clips, other networks or saved clips; slow: variants of another one."""
    needy = ("from_file", "projected", "ba", "tasar", "no_box", "boundary", "basar")
    needy = (*needy, "deep_features", "isaac_n", "universal")
    made: set[str] = set()
    found = []
    for name in (name for name in options("attack") if not name.startswith(needy)):
        target = chosen("attack", name)["_target_"]
        found.append(pytest.param(name, marks=[pytest.mark.slow] if target in made else []))
        made.add(target)
    return found


@pytest.mark.cases(12)
@pytest.mark.parametrize("name", attacks())
def test_every_attack_runs_on_own_clips(name: str) -> None:
    rounds, one = {"outer_steps": 1, "inner_steps": 1}, {"search_steps": 1, "steps": 2}
    few: dict[str, dict[str, int]] = {"admm": rounds, "cwa": {}, "cw_l": rounds, "cw": one, "lbfgs": one}
    few = {"admm_feasible": {"steps": 2}, "square": {"queries": 200}, "one_joint_de": {"queries": 200}} | few
    few |= {"k_a3_admm": rounds | {"k": 2}, "k_a3": {"k": 2, "steps": 2}}
    settings = next((value for key, value in few.items() if name.startswith(key)), {})
    result = sa.attack(victim(), clips(), name, **settings)
    assert isinstance(result, sa.Result) and len(result) == 5 and np.isfinite(result.l2).all()


def test_a_list_of_values_gives_a_curve() -> None:
    results = sa.attack(victim(), clips(), "pgd", eps=[0.001, 0.1], **FAST)
    curve = results.curve()
    assert curve["eps"].tolist() == [0.001, 0.1] and (curve["clips"] == 5).all()
    assert curve["accuracy"].tolist() == [one.robust_accuracy.value for one in results]
    assert ((curve["low"] <= curve["accuracy"]) & (curve["accuracy"] <= curve["high"])).all()
    both = sa.attack(victim(), clips(), "pgd", eps=[0.001, 0.1], norm=["linf", "l2"], **FAST)
    for values in ((0.001, 0.1), np.array([0.001, 0.1])):
        assert sa.attack(victim(), clips(), "pgd", eps=values, **FAST).curve().equals(curve)
    assert float(results[0].robust_accuracy) == curve["accuracy"][0]
    assert len(both) == 4 and len(both.curve()[["eps", "norm"]].drop_duplicates()) == 4


def test_an_attack_of_ones_own() -> None:
    @sa.needs("none", columns={"moved": "float"})
    def shift(model: Any, batch: Any, *, targeted: bool = False, size: float = 0.1) -> sa.AttackResult:
        found = torch.zeros(len(batch), dtype=torch.bool)
        return sa.AttackResult(batch.x + size * batch.movable, found, columns={"moved": found + size})

    result = sa.attack(victim(), clips(), shift, size=0.25)
    assert result.run.access == "none" and (result.records["moved"] == 0.25).all()
    np.testing.assert_allclose(result.x_adv - result.x, 0.25, atol=1e-6)
    with pytest.raises(UserError, match="siz"):
        sa.attack(victim(), clips(), shift, siz=1)


def test_a_surrogate_of_ones_own_is_named() -> None:
    other = sa.Victim(Net(seed=1), skeleton="kinect20", num_frames=T, name="second")
    result = sa.attack(victim(), clips(), "pgd", surrogate=other, **FAST)
    assert result.run.access == "transfer" and result.run.surrogate == "second" and "second" in result.table()
    assert "None" not in result.table()
    short = sa.Victim(Net(num_frames=4), skeleton="kinect20", num_frames=4)
    with pytest.raises(UserError, match="same clips"):
        sa.attack(victim(), clips(), "pgd", surrogate=short)


def test_the_step_of_pgd_is_a_tenth_of_its_budget() -> None:
    for eps in (0.004, 0.05):
        result = sa.attack(victim(), clips(), "pgd", eps=eps, steps=3, random_start=False)
        assert result.run.of_attack["step"] == eps / 10
        np.testing.assert_allclose(np.abs(result.x_adv - result.x).max(), 0.3 * eps, rtol=1e-3)


def test_certificates_of_a_linear_network_cover_no_more_than_its_margin() -> None:
    """For two classes, the exact radius is the margin over the norm of the difference of weights."""
    net, array = Net(2), body(clips=6)
    logits = net(_batch(array)).detach().double()
    labels = logits.argmax(dim=1).numpy()
    own = sa.clips(array, labels, skeleton="kinect20", unit="m")
    found = sa.certify(sa.Victim(net, skeleton="kinect20", num_frames=T), own, sigma=0.1, n=500, n0=20)
    exact = (logits[:, 0] - logits[:, 1]).abs() / (net.weight[0] - net.weight[1]).double().norm()
    assert (found.radius <= exact.detach().numpy() + 1e-9).all() and found.radius.max() > 0
    assert found.certified_accuracy(0.0).count == 6
    assert (found.pred[found.radius > 0] == labels[found.radius > 0]).all()


def test_the_users_module_stays_as_it_is() -> None:
    net = Net().train()
    before = net.weight.detach().clone()
    own = sa.Victim(net, skeleton="kinect20", num_frames=T)
    sa.attack(own, clips(), "pgd", **FAST)
    assert net.training and net.weight.requires_grad and net.weight.grad is None and net.weight.equal(before)


def test_later_training_changes_the_identity() -> None:
    net = Net()
    own = sa.Victim(net, skeleton="kinect20", num_frames=T)
    first = sa.attack(own, clips(), "pgd", **FAST)
    assert sa.attack(own, clips(), "pgd", **FAST).run.identity == first.run.identity
    with torch.no_grad():
        net.weight += 1
    assert sa.attack(own, clips(), "pgd", **FAST).run.identity != first.run.identity


def test_other_clips_or_another_unit_change_the_identity() -> None:
    first = sa.attack(victim(), clips(), "pgd", **FAST).run.identity
    other = body()
    other[0, 0, 0, 0] += 1e-4
    for changed in (clips(other), clips(fps=15.0), clips(names=[*"abcde"])):
        assert sa.attack(victim(), changed, "pgd", **FAST).run.identity != first
    assert sa.attack(victim(unit="mm"), clips(), "pgd", **FAST).run.identity != first
    same = sa.attack(victim(), clips(body() * 1000, unit="mm"), "pgd", **FAST)
    assert same.run.settings["dataset"]["facts"]["unit"] == "m"


@pytest.mark.parametrize(("unit", "factor"), [("m", 1), ("cm", 100), ("mm", 1000)])
def test_a_network_receives_its_own_unit(unit: str, factor: int) -> None:
    own = victim(unit=unit, preprocess=lambda x: x[:, :, :, :, :] * 1.0)
    x = _batch(body())
    torch.testing.assert_close(own(x), Net()(x * factor))


def test_pixels_are_measured_from_the_upper_left_corner() -> None:
    seen = []

    class Seen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.detach())
            return x.flatten(1)[:, :2]

    own = sa.Victim(Seen(), skeleton="coco17", num_frames=T, unit="px", image_size=(640, 480))
    rng = np.random.default_rng(0)
    pixels = np.concatenate([rng.uniform(100, 400, (2, T, 17, 2)), np.ones((2, T, 17, 1))], axis=3)
    given = sa.clips(pixels, [0, 1], skeleton="coco17", unit="px", image_size=(640, 480))
    result = sa.attack(own, given, "fgsm", eps=1e-6)
    np.testing.assert_allclose(result.x, pixels, atol=1e-2)
    np.testing.assert_allclose(seen[-1][:2, :2, ..., 0].permute(0, 2, 3, 1), pixels[..., :2], atol=1e-2)
    assert result.run.unit == "image"


@pytest.mark.parametrize("named", ["hcn", "agcn"])
def test_the_preprocessing_of_a_known_victim(named: str) -> None:
    assert victim(preprocess=named).num_classes == K


class Bad(nn.Module):
    """A network with one defect."""

    def __init__(self, defect: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.net, self.defect = Net(), defect

    def forward(self, x: Tensor) -> Any:
        return self.defect(self.net(x))


REFUSED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "fails": (lambda y: y @ torch.ones(7), "fails on clips of shape"),
    "no gradient": (lambda y: y.detach(), "no gradient"),
    "not logits": (lambda y: y[:, 0], "it must return logits"),
    "not a tensor": (lambda y: (y,), "it must return logits"),
    "mixes clips": (lambda y: y - y.mean(dim=0), "alone in a batch"),
    "not finite": (lambda y: y * math.inf, "not finite"),
}


@pytest.mark.parametrize("defect", REFUSED)
def test_a_network_that_cannot_be_attacked_is_refused(defect: str) -> None:
    change, reason = REFUSED[defect]
    with pytest.raises(UserError, match=reason) as raised:
        sa.Victim(Bad(change), skeleton="kinect20", num_frames=T)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("defect", "warning"),
    [(lambda y: y.softmax(dim=1), "returns probabilities"), (lambda y: y + torch.rand(3) * y, "is random")],
)
def test_a_network_that_makes_attacks_look_weak_is_warned_about(
    defect: Callable[[Tensor], Any], warning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sa.Victim(Bad(defect), skeleton="kinect20", num_frames=T)
    assert warning in capsys.readouterr().err
    victim()
    assert capsys.readouterr().err == ""


def _two_persons() -> np.ndarray:
    return np.repeat(body().transpose(0, 3, 1, 2)[..., None], 2, axis=4)


def _image(**changes: Any) -> sa.Clips:
    pixels = np.random.default_rng(0).uniform(100, 400, (3, T, 17, 2))
    return sa.clips(pixels, [0, 1, 2], **{"skeleton": "coco17", "unit": "px", "image_size": (640, 480)} | changes)


def _in_an_image(call: Callable[..., object], *arguments: Any) -> object:
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2 * T * 17, 3))
    own = sa.Victim(flat, skeleton="coco17", num_frames=T, unit="px", image_size=(640, 480))
    return call(own, _image(), *arguments, defense="bone_projection")


WRONG: dict[str, tuple[Callable[[], object], str]] = {
    "attack": (lambda: sa.attack(victim(), clips(), "pgdd"), "did you mean 'pgd'"),
    "setting": (lambda: sa.attack(victim(), clips(), "pgd", step_size=1), r"attack\.step_size"),
    "range": (lambda: sa.attack(victim(), clips(), "pgd", eps=-1), r"attack\.eps=-1"),
    "kind": (lambda: sa.attack(victim(), clips(), "pgd", steps="many"), r"attack\.steps='many'"),
    "no values": (lambda: sa.attack(victim(), clips(), "pgd", eps=[]), r"eps=\[\]"),
    "target": (lambda: sa.attack(victim(), clips(), "pgd", target="0"), "targeted=true"),
    "defense": (lambda: sa.attack(victim(), clips(), "pgd", defense="filter"), "temporal_filter"),
    "a fitted defense": (
        lambda: sa.attack(victim(), clips(), "pgd", defense="denoiser", **FAST),
        "read clips from a folder",
    ),
    "defense in an image": (lambda: _in_an_image(sa.attack, "pgd"), "bone_projection has no meaning for coco17"),
    "certificate in an image": (lambda: _in_an_image(sa.certify), "bone_projection has no meaning for coco17"),
    "device": (lambda: sa.attack(victim(), clips(), "pgd", device="gpu9"), r"runtime\.device=gpu9"),
    "override": (lambda: sa.attack(victim(), clips(), "pgd", overrides=["attack.nope=1"]), r"attack\.nope"),
    "sigma": (lambda: sa.certify(victim(), clips(), sigma=0), r"smoothing\.sigma=0"),
    "draws": (lambda: sa.certify(victim(), clips(), n=3), r"smoothing\.n=3"),
    "skeleton": (lambda: clips(skeleton="kinect21"), "kinect20"),
    "other skeleton": (
        lambda: sa.attack(victim(), clips(np.tile(body(), (1, 1, 2, 1))[:, :, :25], skeleton="ntu25"), "pgd"),
        "ntu25",
    ),
    "unit": (lambda: clips(unit="inch"), "inch"),
    "wrong unit": (lambda: clips(body() * 1000), "mm"),
    "labels": (lambda: sa.clips(body(), [0, 1], skeleton="kinect20", unit="m"), "5 clips but 2 labels"),
    "label": (lambda: sa.clips(body(), [0, 1, 2, -1, 0], skeleton="kinect20", unit="m"), "label -1"),
    "large label": (
        lambda: sa.attack(victim(), sa.clips(body(), [9] * 5, skeleton="kinect20", unit="m"), "pgd"),
        "label 9",
    ),
    "shape": (lambda: clips(body()[0]), r"\(N, T, V, C\)"),
    "names": (lambda: clips(names=["a"] * 5), "unique"),
    "classes": (lambda: victim(classes=["a", "b"]), "2 different names, but the network returns 3"),
    "frames": (lambda: victim(num_frames=0), "num_frames=0"),
    "persons": (lambda: sa.attack(victim(), clips(_two_persons()), "pgd"), "2 persons"),
    "module": (lambda: sa.Victim(lambda x: x, skeleton="kinect20", num_frames=T), "not a torch.nn.Module"),  # type: ignore[arg-type]
    "preprocess": (lambda: victim(preprocess="centre"), "hcn"),
    "network unit": (lambda: victim(unit="px"), "unit=px"),
    "victim": (lambda: sa.load_victim("hnc"), "did you mean 'hcn'"),
    "dataset": (lambda: sa.load_victim("hcn", dataset="utdmhad"), "utd_mhad"),
    "weights": (lambda: sa.load_victim("hcn", dataset="ntu60_cs"), "task=train"),
    "file": (lambda: sa.load_victim("nowhere.safetensors"), r"nowhere\.safetensors"),
    "root": (lambda: sa.load_clips("utd_mhad", root="nowhere"), "nowhere"),
    "T": (lambda: sa.load_clips("synthetic_cs", num_frames=3), "num_frames"),
    "list": (lambda: sa.list("atacks"), "attacks"),
    "no victim": (lambda: sa.attack(Net(), clips()), r"sa\.Victim"),  # type: ignore[arg-type]
    "no clips": (lambda: sa.attack(victim(), body()), r"sa\.clips"),  # type: ignore[arg-type]
    "no certified victim": (lambda: sa.certify(Net(), clips()), r"sa\.Victim"),  # type: ignore[arg-type]
    "no surrogate": (lambda: sa.attack(victim(), clips(), surrogate="hcn"), "surrogate"),  # type: ignore[arg-type]
    "no attack": (lambda: sa.attack(victim(), clips(), 42), "attack=42"),  # type: ignore[arg-type]
    "words": (lambda: sa.attack(victim(), clips(), overrides="seed=1"), "list of words"),
    "None": (lambda: sa.attack(victim(), clips(), "pgd", eps=None), r"attack\.eps"),
    "batch": (lambda: sa.attack(victim(), clips(), "pgd", batch_size=0), "batch_size=0"),
    "limit": (lambda: sa.load_clips("synthetic_cs", limit=-1), "limit=-1"),
    "text limit": (lambda: sa.load_clips("synthetic_cs", limit="x"), "limit='x'"),  # type: ignore[arg-type]
    "class": (lambda: sa.Victim(Net, skeleton="kinect20", num_frames=T), r"Net\(\)"),  # type: ignore[arg-type]
    "public weights": (lambda: sa.load_victim("agcn.pt"), "checkpoint="),
    "one clip": (lambda: clips(body()[0]), r"array\[None\]"),
    "one-hot": (lambda: sa.clips(body(), np.eye(5), skeleton="kinect20", unit="m"), "argmax"),
    "no labels": (lambda: sa.clips(body(), None, skeleton="kinect20", unit="m"), "labels=None"),  # type: ignore[arg-type]
    "rate": (lambda: clips(fps=0), "fps=0"),
    "image size": (lambda: _image(image_size="640x480"), "image_size='640x480'"),
    "length in an image": (lambda: _image(unit="cm", image_size=None), "px or image"),
    "order": (
        lambda: sa.attack(victim(classes=["a", "b", "c"]), clips(classes=["b", "a", "c"]), "pgd"),
        "class 0 is 'b'",
    ),
    "bodies": (lambda: sa.Skeleton("mine", ("a", "b", "c"), (1, 2, 0), (), 0), "root"),
    "plot": (lambda: sa.plot(body()), "sa.plot"),  # type: ignore[arg-type]
    "protocol": (lambda: sa.benchmark(victim(), clips(), "v0"), "v1"),
}


@pytest.mark.cases(20)
@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_one_line_that_names_the_way_out(mistake: str) -> None:
    call, reason = WRONG[mistake]
    with pytest.raises(UserError, match=reason) as raised:
        call()
    assert "\n" not in str(raised.value)


def test_a_saved_result_is_read_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = sa.attack(victim(), clips(), "pgd", eps=[0.01, 0.02], **FAST)
    text = results.table()
    results.save(tmp_path / "mine")
    assert len([*(tmp_path / "mine").glob("*/run.json")]) == 2
    for again in (results[0], results):
        with pytest.raises(UserError, match="already contains files"):
            again.save(tmp_path / "mine")
    with pytest.raises(UserError, match="format='pyskll'"):
        results[0].export(tmp_path / "a.pkl", format="pyskll")  # type: ignore[arg-type]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["tables", "mine"])
    tables.main()
    printed = capsys.readouterr().out
    shown = [line for line in text.splitlines() if "(" in line and "/5)" in line]
    assert len(shown) == 2 and all(line.split()[-1] in printed for line in shown)
    assert "sa.attack(Net, own, 'pgd', eps=0.01" in (tmp_path / "outputs/tables/own/benchmark.md").read_text()


def test_a_result_outlives_its_call_and_leaves_nothing(tmp_path: Path) -> None:
    result = sa.attack(victim(), clips(), "pgd", **FAST)
    folder = result.run.folder
    assert folder is not None and folder.exists() and result.x_adv.shape
    del result
    assert not folder.exists()


def test_plots() -> None:
    result = sa.attack(victim(), clips(), "pgd", eps=[0.01, 0.5], **FAST)
    assert len(sa.plot(result).axes) == 1
    assert len(sa.plot(result[1], clip=3).axes) == 12
    for others in ({"norm": ["linf", "l2"]}, {"norm": ["linf", "l2"], "eps": [0.01, 0.5]}):  # no curve over a number
        assert sa.plot(sa.attack(victim(), clips(), "pgd", **FAST, **others)).axes
    assert sa.plot(result[1]).axes
    assert sa.plot(sa.certify(victim(), clips(), sigma=0.1, n=20)).axes
    assert len(sa.plot(result[1], clip=np.int64(1)).axes) == 12  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"results\[0\]"):
        sa.plot(result, clip=1)
    for clip in (5, -1, "nothing"):
        with pytest.raises(UserError, match=f"clip={clip}"):
            sa.plot(result[0], clip=clip)


def test_main_is_importable() -> None:
    assert __main__.main

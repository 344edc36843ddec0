"""Every option of a group in ``conf/``, with small settings; the laws test every new option automatically."""

from collections.abc import Callable
from functools import cache, partial
from inspect import signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from conftest import Linear, make_batch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save_file
from torch import nn

from skeleton_adv.attacks import fit_of, wants_pool
from skeleton_adv.attacks.pgd import pgd
from skeleton_adv.command import cli
from skeleton_adv.command.compose import composed
from skeleton_adv.core.batch import Context, SkeletonBatch
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.defenses import is_fitted

SMALL = {"width": 8, "fc7": 16}  # widths of networks
SHORT = 16  # frames


def options(group: str) -> list[str]:
    """The names of the options in a group, one per YAML file that does not need the user's own code."""
    return sorted(path.stem for path in (Path(cli.CONF) / group).glob("*.yaml") if "???" not in path.read_text())


@cache
def chosen(group: str, name: str, *overrides: str) -> Any:
    """An option of a group as plain values, as Hydra composes them, but a hundred times as fast."""
    config = _base().copy()
    config[group] = _file(group, name)
    for override in overrides:
        key, _, value = override.partition("=")
        OmegaConf.update(config, key, OmegaConf.create(f"x: {value}").x)
    return OmegaConf.to_container(config[group], resolve=True)


@cache
def _base() -> DictConfig:
    """The default run, to whose settings options refer."""
    config = composed(()).copy()
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    return config


@cache
def _file(group: str, name: str) -> DictConfig:
    """The file of an option, merged over the option that it starts from."""
    settings: Any = OmegaConf.load(cli.CONF / group / f"{name}.yaml")
    defaults = settings.pop("defaults", ["_self_"])
    assert len(defaults) <= 2 and defaults[-1] == "_self_", f"{group}/{name}: this reader knows one default only"
    return OmegaConf.merge(*(_file(group, other) for other in defaults[:-1]), settings)  # type: ignore[return-value]


def made(settings: Any) -> Any:
    return instantiate(settings, _convert_="all")


def attack_of(name: str, folder: Path, batch: SkeletonBatch, targeted: bool = False) -> Callable[..., Any]:
    """An attack of few steps; an attack that reads clips reads those of a strong attack on ``batch`` and ``Linear``."""
    from black_box import pool_like  # which imports this module

    reads = f"attack.path={folder}"
    text = (Path(cli.CONF) / "attack" / f"{name}.yaml").read_text()
    settings = chosen("attack", name, *([reads] if "path: ???" in text else []))
    if "path" in settings:
        strong = pgd(Linear(batch), batch, targeted=targeted, norm="l2", eps=2.0, step=0.2, steps=20, loss="margin")
        (folder / "clips").mkdir(parents=True, exist_ok=True)
        kept = {"x": batch.x, "x_adv": strong.x_adv, "mask": batch.mask, "index": batch.index}
        save_file({key: value.contiguous() for key, value in kept.items()}, folder / "clips/all.safetensors")
    attack = made(settings)
    few: dict[str, Any] = {
        key: 3 for key in signature(attack).parameters if key.endswith("steps") and settings.get(key, 3) > 3
    }
    less = {"queries": 60, "eot": 2, "candidates": 10, "passes": 2}
    few |= {key: n for key, n in less.items() if key in signature(attack).parameters and settings.get(key, n) > n}
    fit = fit_of(partial(attack, **few))
    if wants_pool(attack):
        few["pool"] = pool_like(batch)
    if fit:
        *_, few["fitted"] = fit(lambda clips, draw=0: Linear(clips), pool_like(batch), None)
    return partial(attack, **few)


def defense_of(name: str, batch: SkeletonBatch | None = None, **changes: Any) -> Callable[..., Any]:
    """A defense with few draws; ``changes`` apply to the settings that it has.

    One that is fitted is fitted in few steps, on clips like those of ``batch``.
    """
    from black_box import pool_like  # which imports this module

    settings = chosen("defense", name)
    few = {"draws": 3, "eot": 2, "width": 8, "steps": 3, "clips": 4, "lr": 0.01} | changes
    known = signature(made(settings)).parameters
    defense = made(settings | {key: value for key, value in few.items() if key in known})
    if not is_fitted(defense) or batch is None:
        return defense  # type: ignore[no-any-return]
    made_of: Any = defense(nn.Identity())
    *_, fitted = made_of.fit(lambda clips, draw=0: Linear(clips), pool_like(batch), None)
    return partial(defense, fitted=fitted)


def network_parts(name: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The narrow architecture and the preprocessing of a model, for short clips."""
    settings = chosen("model", name)
    return made(_narrow(settings["architecture"])), made(_narrow(settings["preprocess"]))


def different_models() -> list[str]:
    """The options of ``model`` that are different networks once they are narrow: a small version is the same again."""
    found: dict[str, str] = {}
    for name in options("model"):
        settings = chosen("model", name)
        parts = repr((_narrow(settings["architecture"]), _narrow(settings["preprocess"])))
        found.setdefault(parts, name)
    return sorted(found.values())


def _narrow(settings: dict[str, Any]) -> dict[str, Any]:
    """The same network with few channels, and with clips of ``SHORT`` frames unless it takes one length only."""
    target = settings["_target_"].rpartition(".")[2]
    small = dict(SMALL)
    if target == "MSG3D":
        small["width"] = 12  # of six branches
    elif target == "ContrastiveEncoder" or target.endswith("AGCN"):
        small["width"] = 4
    if target == "SkateFormer":
        small |= {"heads": 8, "length": 32}
    if target == "Partitioned":
        small["length"] = 32
    if target == "Denoised":
        small["length"] = None
    if target == "Front":
        small |= {"length": SHORT, "judged_clips": 2, "half": False}  # rounding has no finite differences
    kept = {key: small.get(key, value) for key, value in settings.items()}
    return kept | {key: _narrow(value) for key, value in kept.items() if isinstance(value, dict)}


def dataset_of(skeleton: Skeleton, persons: int, num_frames: int = 16, num_classes: int = 5) -> Any:
    """The dataset for which a network is built."""
    classes = tuple(f"class {number}" for number in range(num_classes))
    facts = {"classes": classes, "num_frames": num_frames, "num_persons": persons, "space": "camera"}
    return SimpleNamespace(skeleton=skeleton, **facts)


def context_of(batch: SkeletonBatch, **changes: Any) -> Context:
    settings = {"seed": 5, "purpose": "judge", "draw": 0} | changes
    return Context(batch.mask, batch.movable, batch.index, skeleton=batch.skeleton, **settings)


def reordered(batch: SkeletonBatch, order: list[int]) -> SkeletonBatch:
    """The same clips with their labels, masks and numbers, in another order."""
    own = (getattr(batch, name)[order] for name in ("x", "y", "mask", "index", "dt"))
    return SkeletonBatch(*own, batch.skeleton)


def near_the_border(seed: int = 0, n: int = 8) -> tuple[Linear, SkeletonBatch, torch.Tensor]:
    """A linear victim, clips at 1e-6 logits from its border, and the classes (N,) beyond it."""
    batch = make_batch(n=n, t=4, seed=seed)
    model = Linear(batch)
    for _ in range(20):  # if a third class is in between, go to the border with that class
        first, second = model(batch.x).topk(2, dim=1).indices.T
        across = ((model.weight[first] - model.weight[second]).view_as(batch.x)) * batch.movable
        gap = (across * batch.x).flatten(1).sum(dim=1)
        full = ((model.weight[first] - model.weight[second]) * batch.x.flatten(1)).sum(dim=1)
        assert torch.allclose(gap, full)  # immovable entries are 0 here
        step = (gap - 1e-6) / across.square().flatten(1).sum(dim=1)
        moved = batch.x - step.view(-1, 1, 1, 1, 1) * across
        batch = SkeletonBatch(moved, batch.y, batch.mask, batch.index, batch.dt, batch.skeleton)
    first, second = model(batch.x).topk(2, dim=1).indices.T
    return model, batch.with_labels(first), second

"""A YAML file may name only targets of its own group; names are checked before anything is imported."""

import sys
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from options import chosen

from skeleton_adv.command import cli, compose, recipes
from skeleton_adv.command.targets import Trust, check_targets
from skeleton_adv.core.errors import SettingError

CHOSEN = ["attack", "constraint", "dataset", "defense", "model", "training"]


def settings_of(*words: str) -> Any:
    recipes.register()
    config = compose.composed(words)
    return OmegaConf.to_container(OmegaConf.masked_copy(config, [k for k in config if k != "hydra"]), resolve=True)


def filled(part: str, node: dict[str, Any]) -> dict[str, Any]:
    """Settings in which one part is replaced."""
    settings: Any = settings_of()
    *above, last = part.split(".")
    place = settings
    for name in above:
        place = place[name]
    place[last] = node
    return {**settings}


@pytest.mark.cases(6)
@pytest.mark.parametrize("group", CHOSEN)
def test_every_option_of_ours_is_allowed(group: str) -> None:
    own = {"from_file": "attack.path=x", "projected": "attack.path=x", "own": "model.architecture._target_=own.Net"}
    for option in cli.groups()[group]:
        targets = {"model.architecture._target_": "own.Net"} if option == "own" else {}
        settings = chosen(group, option, *([own[option]] if option in own else []))
        check_targets(settings_of() | {group: settings}, Trust(targets))


def test_every_recipe_and_a_surrogate_are_allowed() -> None:
    check_targets(settings_of("model@surrogate=agcn_small"), Trust())
    for settings in recipes.load().values():
        check_targets({"recipe": settings}, Trust())


@pytest.fixture
def evil(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that writes a file when it is imported."""
    (tmp_path / "evilmod.py").write_text(
        f"import pathlib\npathlib.Path({str(tmp_path)!r}, 'ran').touch()\ndef f(network):\n    return network\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "evilmod", raising=False)
    return tmp_path


PARTS = ["attack", "defense", "dataset", "constraint.bone", "attack.constraints.bone", "model.architecture"]
PARTS += ["model.preprocess", "recipe", "training", "runtime", "elsewhere"]


@pytest.mark.cases(20)
@pytest.mark.parametrize("part", PARTS)
def test_a_foreign_module_is_not_even_imported(part: str, evil: Path) -> None:
    with pytest.raises(SettingError, match=r"evilmod\.f"):
        check_targets(filled(part, {"_target_": "evilmod.f", "_partial_": True}), Trust())
    assert not (evil / "ran").exists() and "evilmod" not in sys.modules


def test_a_target_on_the_command_line_is_trusted_at_its_key_only(evil: Path) -> None:
    settings = filled("defense", {"_target_": "evilmod.f", "_partial_": True})
    for typed in (
        {"attack._target_": "evilmod.f"},
        {"defense._target_": "evilmod.g"},
        {"defense": "evilmod.f"},
        {"defense.command": "evilmod.f"},
    ):
        with pytest.raises(SettingError, match=r"defense\._target_=evilmod\.f lies outside skeleton_adv\.defenses"):
            check_targets(settings, Trust(typed))
        assert not (evil / "ran").exists()
    check_targets(settings, Trust({"defense._target_": "evilmod.f"}))
    assert (evil / "ran").exists()


FOREIGN = [
    ("attack", "skeleton_adv.tables.main"),
    ("attack", "skeleton_adv.defenses.none"),
    ("attack", "skeleton_adv.attacks.admm.torch.load"),
    ("attack", "skeleton_adv.attacks.admm.nn.Module"),
    ("attack", "skeleton_adv.attacks"),
    ("attack", "skeleton_adv.attacks.losses.margin"),  # in the package, but not an attack
    ("attack", "skeleton_adv.attacks..admm"),
    ("attack", "skeleton_adv.attacks.admm:admm"),
    ("attack", "skeleton_adv.attacksx.admm"),
    ("defense", "skeleton_adv.attacks.pgd.pgd"),
    ("defense", "os.system"),
    ("model.architecture", "skeleton_adv.models.victim.torch.load"),
    ("model.architecture", "skeleton_adv.models.victim.save_weights"),
    ("model.architecture", "skeleton_adv.data.store.prepare"),
    ("model.preprocess", "skeleton_adv.models.hcn.HCN"),
]


@pytest.mark.cases(20)
@pytest.mark.parametrize(("part", "target"), FOREIGN)
def test_a_file_may_not_name_a_target_of_another_group(part: str, target: str) -> None:
    with pytest.raises(SettingError, match=r"_target_="):
        check_targets(filled(part, {"_target_": target, "_partial_": True}), Trust())


@pytest.mark.parametrize(
    ("part", "target"),
    [
        ("dataset", "skeleton_adv.data.store.prepare"),
        ("dataset", "skeleton_adv.data.store.Path"),
        ("constraint.bone", "skeleton_adv.constraints.body.torch.load"),
        ("recipe", "skeleton_adv.train.fit.fit"),
        ("attack.constraints.bone", "skeleton_adv.attacks.admm.admm"),
    ],
)
def test_a_target_without_partial_is_a_class_of_its_group(part: str, target: str) -> None:
    with pytest.raises(SettingError, match=r"_target_="):
        check_targets(filled(part, {"_target_": target}), Trust())


@pytest.mark.parametrize(
    ("part", "change", "named"),
    [
        ("dataset", {"_target_": None}, "dataset._target_"),
        ("dataset", {"_partial_": True}, "dataset._partial_"),
        ("attack", {"_partial_": False}, "attack._partial_"),
        ("attack", {"_partial_": "maybe"}, "attack._partial_"),
        ("attack", {"_args_": [1]}, "attack._args_"),
        ("attack", {"beta": "${nope}"}, "attack.beta"),
        ("attack", {"bta": 1}, "attack.bta"),
    ],
)
def test_a_part_that_cannot_be_built_is_named(part: str, change: dict[str, Any], named: str) -> None:
    node = settings_of()[part] | change
    with pytest.raises(SettingError, match=named.replace(".", r"\.")):
        check_targets(filled(part, node), Trust())


@pytest.mark.parametrize("part", ["attack", "dataset", "defense", "model.architecture", "model.preprocess"])
def test_a_part_without_a_target_is_named(part: str) -> None:
    with pytest.raises(SettingError, match=f"{part} has no _target_"):
        check_targets(filled(part, {}), Trust())

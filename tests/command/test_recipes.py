"""Recipes: one file per model covers every dataset, and earlier recipes are unchanged."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from jobs import job_of
from omegaconf import OmegaConf
from options import options

from skeleton_adv.command import cli, compose, recipes
from skeleton_adv.command.help import help_text
from skeleton_adv.command.targets import check_settings
from skeleton_adv.core.errors import SettingError
from skeleton_adv.train.recipe import Recipe

OLD: dict[str, Any] = json.loads((Path(__file__).parents[1] / "golden" / "recipes.json").read_text())
DATASETS = options("dataset")


def write(folder: Path, files: dict[str, str]) -> list[str]:
    """Write a folder of options; return the arguments that name it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return ["--config-dir", str(folder)]


def recipe_of(*arguments: str) -> Any:
    """The recipe that a command composes, or None."""
    folders = compose.open_folders(list(arguments))
    compose.composed.cache_clear()
    words, _ = compose.split(list(arguments))
    config = compose.composed(tuple(words), folders)
    return OmegaConf.to_container(config.recipe, resolve=True) if "recipe" in config else None


def test_all_old_names_exist() -> None:
    assert len(OLD) == 38 and {*OLD} <= {*cli.groups()["recipe"]}


def test_an_old_name_gives_the_old_recipe() -> None:
    every = recipes.load()
    assert {name: every[name] for name in OLD} == OLD
    for name in ("hcn/utd_mhad", "agcn_small/synthetic_cs"):
        assert recipe_of("task=train", f"recipe={name}") == OLD[name]


def test_every_model_has_a_valid_recipe_for_every_dataset() -> None:
    every = recipes.load()
    options = cli.groups()
    assert {*every} >= {
        f"{model}/{name}" for model in {*options["model"]} - {"ensemble"} for name in options["dataset"]
    }
    for name, made in every.items():
        settings = {key: value for key, value in made.items() if key != "_target_"}
        assert made["_target_"] == recipes.TARGET
        check_settings(f"recipe={name}: ", Recipe, settings)
        Recipe(**settings)


@pytest.mark.parametrize("model", options("model")[::7])
def test_a_model_is_trained_by_its_recipe_for_the_dataset(model: str) -> None:
    dataset = DATASETS[sum(model.encode()) % len(DATASETS)]
    settings = job_of(["task=train", f"model={model}", f"dataset={dataset}"]).settings
    assert settings["recipe"] == recipes.load()[f"{model}/{dataset}"]


def test_a_new_dataset_needs_no_recipe_and_a_new_model_one_file(tmp_path: Path) -> None:
    own = write(
        tmp_path,
        {
            "dataset/mine.yaml": "# Mine\ndefaults: [utd_mhad]\n",
            "model/net.yaml": "# Net\ndefaults: [hcn]\n",
            "recipe/net.yaml": "# Net\nlike: hcn\nmine:\n  like: utd_mhad\n  epochs: 7\n",
        },
    )
    words = [*own, "task=train", "dataset=mine"]
    cli.check_arguments([*words, "recipe.epochs=60"])
    assert recipe_of(*words) == OLD["hcn/ntu60_cs"]
    assert recipe_of(*words, "recipe.epochs=60") == {**OLD["hcn/ntu60_cs"], "epochs": 60}
    assert recipe_of(*words, "model=net") == {**OLD["hcn/utd_mhad"], "epochs": 7}
    cli.check_arguments([*words, "-m", "model=hcn,net", "recipe=hcn/mine,net/mine"])
    assert re.search(r"net: .*\bmine\b", help_text(own))


def test_a_folder_may_change_a_built_in_entry_or_add_a_file(tmp_path: Path) -> None:
    entry = write(tmp_path / "a", {"recipe/hcn.yaml": "utd_mhad:\n  like: synthetic_cs\n  epochs: 3\n"})
    words = ["task=train", "dataset=utd_mhad"]
    assert recipe_of(*entry, *words) == {**OLD["hcn/synthetic_cs"], "epochs": 3}
    text = f"_target_: {recipes.TARGET}\nepochs: 9\n"
    whole = write(tmp_path / "b", {"recipe/hcn/utd_mhad.yaml": text})
    assert recipe_of(*whole, *words) == {"_target_": recipes.TARGET, "epochs": 9}
    assert recipe_of(*words) == OLD["hcn/utd_mhad"]  # the folders of one command do not apply to the next


def test_there_is_no_recipe_for_a_model_without_a_file(tmp_path: Path) -> None:
    own = write(tmp_path, {"model/net.yaml": "# Net\ndefaults: [hcn]\n"})
    assert recipe_of(*own, "task=train", "model=net") is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[1]", "recipe/net.yaml"),
        ("mine: 3", "'mine'"),
        ("like: [hcn]", "'like'"),
        ("a b: {epochs: 3}", "'a b'"),
        ("like: nope", "nope"),
        ("like: net", "net -> net"),
        ("a: {like: b}\nb: {like: a}", "net/a -> net/b -> net/a"),
        ("a: {like: hcn/nope}", "hcn/nope"),
        ("a: {like: nope/utd_mhad}", "nope/utd_mhad"),
    ],
)
def test_a_file_without_a_recipe_is_named(text: str, named: str, tmp_path: Path) -> None:
    own = write(tmp_path, {"recipe/net.yaml": text + "\n"})
    with pytest.raises(SettingError) as caught:
        cli.check_arguments(own)
    assert named in str(caught.value) and "recipe" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "near", "far"),
    [
        (["recipe=none"], "hcn/utd_mhad", "agcn/utd_mhad"),
        (["recipe=none", "model=agcn_small"], "agcn_small/utd_mhad", "hcn/utd_mhad"),
        (["recipe=agcn/utd"], "did you mean 'agcn/utd_mhad'", "hcn/utd_mhad"),
    ],
)
def test_an_unknown_recipe_gets_a_suggestion(arguments: list[str], near: str, far: str) -> None:
    with pytest.raises(SettingError) as caught:
        cli.check_arguments(["task=train", *arguments])
    assert near in str(caught.value) and f" {far}" not in str(caught.value)

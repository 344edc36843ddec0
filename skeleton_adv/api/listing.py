"""``sa.list``: the available options as a table, with references and licences."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from skeleton_adv.attacks import strongest_access
from skeleton_adv.command.options import CONF, about, option_files, title
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.ranges import nearest
from skeleton_adv.core.skeleton import SKELETONS

GROUPS = {  # what can be listed -> its folder of options, and the facts at the head of each file
    "attacks": ("attack", ("threat model", "reference")),
    "victims": ("model", ("reference",)),
    "datasets": ("dataset", ("licence", "source", "reference")),
    "defenses": ("defense", ("reference",)),
    "detectors": ("detector", ("reference",)),
    "trainings": ("training", ("reference",)),
}
OURS = "MIT"  # every method is implemented here
CHECKPOINTS = (Path(__file__).parents[1] / "checkpoints", CONF.parent / "outputs/checkpoints")


def list_options(what: str, checkpoint_dir: str | Path = "outputs/checkpoints") -> pd.DataFrame:
    """A table of all options of one kind, one row per option.

    ``what`` is ``attacks``, ``victims``, ``weights``, ``datasets``, ``defenses``, ``detectors``, ``trainings`` or
    ``skeletons``.

    - attacks: title, the access to the network that the attack or its fit needs, its threat model and reference
    - victims, datasets, defenses, detectors, trainings: title and reference; for datasets also source and licence
    - weights (those that are shipped and those below ``checkpoint_dir``): dataset, victim, frames, classes, noise and
      seed of the training, accuracy on the test clips, licence, and the file
    - skeletons: a column per skeleton, with its joints in their order

    Raises ``SettingError`` for any other value of ``what``.
    """
    special: dict[str, Callable[[], pd.DataFrame]] = {
        "weights": lambda: _weights(Path(checkpoint_dir)),
        "skeletons": _skeletons,
    }
    if what in special:
        return special[what]()
    if what not in GROUPS:
        raise SettingError(f"list({what!r}): {nearest(str(what), [*GROUPS, *special])}")
    group, facts = GROUPS[what]
    rows = []
    for _, name, path in (option for option in option_files(CONF) if option[0] == group):
        head = about(path)
        row = {"name": name, "title": title(path)} | ({"access": _access(name)} if what == "attacks" else {})
        rows.append({**row, "licence": OURS, **{fact: head[fact] for fact in facts}})
    return pd.DataFrame(rows).set_index("name")


def _access(name: str) -> str:
    """The access that an attack or its fit declares."""
    module, _, function = _target(name).rpartition(".")
    return strongest_access(getattr(import_module(module), function))


def _target(name: str) -> str:
    """The function that the file of an attack names, or the file that it starts from; Hydra takes half a second."""
    settings: dict[str, Any] = yaml.safe_load((CONF / "attack" / f"{name}.yaml").read_text(encoding="utf-8"))
    others = [other for other in settings.get("defaults", ()) if other != "_self_"]
    return str(settings["_target_"]) if "_target_" in settings else _target(others[0])


def _weights(own: Path) -> pd.DataFrame:
    rows: dict[str, dict[str, Any]] = {}
    for folder in (*CHECKPOINTS, own):
        for path in sorted(folder.rglob("*.safetensors")):
            facts = path.with_suffix(".json")
            if facts.exists() and "test_clips" in read_json(facts, CheckpointError):  # not a detector
                rows[str(path.relative_to(folder).with_suffix(""))] = _weight(path)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")


def _weight(path: Path) -> dict[str, Any]:
    facts = read_json(path.with_suffix(".json"), CheckpointError)
    settings = facts.get("settings") or {}
    data = settings.get("dataset", {})
    return {
        "dataset": facts.get("dataset", path.parent.name),
        "victim": (facts.get("choices") or {}).get("model", path.stem.partition("_t")[0]),
        "frames": data.get("num_frames"),
        "classes": facts.get("num_classes", data.get("num_actions")),
        "noise": settings.get("noise", 0.0),
        "seed": settings.get("seed"),
        "accuracy": facts.get("test_accuracy"),
        "test clips": facts.get("test_clips"),
        "licence": _licence(str(facts.get("choices", {}).get("dataset", path.parent.name))),
        "file": str(path),
    }


def _licence(option: str) -> str:
    """The terms of the data, by its option, that weights were trained on."""
    path = CONF / "dataset" / f"{option}.yaml"
    return about(path)["licence"] if path.is_file() else "yours"


def _skeletons() -> pd.DataFrame:
    columns = {name: pd.Series(body.joints, dtype=object) for name, body in SKELETONS.items()}
    return pd.DataFrame(columns).fillna("").rename_axis("joint")

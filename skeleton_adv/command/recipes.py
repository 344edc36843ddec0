"""Training recipes: one file per model, one entry per dataset, offered to Hydra as ``recipe=<model>/<dataset>``.

``conf/recipe/<model>.yaml`` maps the name of a dataset to settings of ``skeleton_adv.train.Recipe``. ``default`` is
the recipe of every dataset without an entry. ``like: <entry>`` (or ``like: <model>/<entry>``) in an entry starts from
another one; ``like: <model>`` at the top of a file starts from another model's file.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from skeleton_adv.command.options import CONF, option_files, read, title
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.ranges import nearest

GROUP = "recipe"
TARGET = "skeleton_adv.train.Recipe"
_Files = Mapping[str, Mapping[str, Any]]  # model -> its files, the built-in one first


_registered: dict[str, int] = {}  # files of recipes and options that Hydra has, with their times of change


def files(*folders: Path) -> list[Path]:
    """The recipe files, the built-in ones first."""
    return [path for folder in (CONF, *folders) for path in sorted((folder / GROUP).glob("*.yaml"))]


def titles(*folders: Path) -> dict[str, str]:
    """``<model>/<entry>`` -> the first line of the model's file."""
    first_lines = {path.stem: title(path) for path in reversed(files(*folders))}  # the built-in title has precedence
    return {option: first_lines[option.partition("/")[0]] for option in load(*folders)}


def entries(*folders: Path) -> dict[str, list[str]]:
    """Model -> the entries of its file, and of the file that it is ``like``."""
    listed = _listed(folders)
    return {model: sorted(_entries(model, listed, ())) for model in listed}


def load(*folders: Path) -> dict[str, dict[str, Any]]:
    """``<model>/<entry>`` -> the recipe's settings, for every entry and every dataset, built-in or in ``folders``.

    A file in ``folders`` adds entries to the built-in ones of the same model, or replaces them.
    """
    listed = _listed(folders)
    datasets = {
        option for folder in (CONF, *folders) for group, option, _ in option_files(folder) if group == "dataset"
    }
    found = {}
    for model in listed:
        own = _entries(model, listed, ())
        names = {*own, *datasets} if "default" in own else {*own}
        for name in sorted(names - {"default"}):
            settings = _entry(model, name if name in own else "default", listed, ())
            found[f"{model}/{name}"] = {"_target_": TARGET, **settings}
    return found


def register(*folders: Path) -> None:
    """Make Hydra offer the recipes; a file ``recipe/<model>/<dataset>.yaml`` in a folder has precedence."""
    store = ConfigStore.instance()
    listed = [*files(*folders), *(path for folder in folders for _, _, path in option_files(folder))]
    known = {str(path): path.stat().st_mtime_ns for path in listed}
    if store.repo.get(GROUP) is not None and _registered == known:
        return  # by an earlier command of this process
    _registered.clear()
    _registered.update(known)
    store.repo.pop(GROUP, None)
    own = {option for folder in folders for group, option, _ in option_files(folder) if group == GROUP}
    offered: dict[str, dict[str, ConfigNode]] = {}
    for option, settings in load(*folders).items():
        model, _, name = option.partition("/")
        if option not in own:
            offered.setdefault(model, {})[f"{name}.yaml"] = _Offered(f"{name}.yaml", f"{GROUP}/{model}", settings)
    store.repo[GROUP] = offered


class _Offered(ConfigNode):
    """A recipe in Hydra's store, which is made when it is chosen.

    Hydra copies the whole store for every composition; there are more than a thousand recipes.
    """

    def __init__(self, name: str, group: str, settings: Mapping[str, Any]) -> None:
        super().__init__(name, OmegaConf.create(), group, None, None)
        self.settings = settings

    def __copy__(self) -> ConfigNode:
        return ConfigNode(self.name, OmegaConf.create(dict(self.settings)), self.group, None, None)

    def __deepcopy__(self, memo: Any) -> "_Offered":
        return self


def _listed(folders: tuple[Path, ...]) -> dict[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = {}
    for path in files(*folders):
        listed.setdefault(path.stem, {}).update(_file(path, path.stat().st_mtime_ns))
    return listed


@cache
def _file(path: Path, changed: int) -> dict[str, Any]:
    """The entries of a file; ``changed``, its time of change, makes a changed file be read again."""
    try:
        content = OmegaConf.to_container(OmegaConf.create(read(path)), resolve=False)
    except (ValueError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        raise SettingError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise SettingError(f"{path} must map datasets to recipe settings")
    found = {str(name): entry for name, entry in content.items()}
    for name, entry in found.items():
        valid = isinstance(entry, str) if name == "like" else isinstance(entry, dict)
        if not valid or not name.isidentifier():
            raise SettingError(f"{path}: '{name}' must be a dataset with recipe settings, or like: <model>")
    return found


def _entries(model: str, listed: _Files, seen: tuple[str, ...]) -> dict[str, tuple[str, Any]]:
    """The entries of a model, those of the model it is like included -> the model in whose file it is, the entry."""
    if model in seen:
        raise SettingError(f"recipe/{model}.yaml: like: {' -> '.join([*seen, model])} is a cycle")
    if model not in listed:
        raise SettingError(f"recipe/{seen[-1]}.yaml: like: {model} is not a model: {nearest(model, [*listed])}")
    like = listed[model].get("like")
    entries = _entries(like, listed, (*seen, model)) if like is not None else {}
    return entries | {name: (model, entry) for name, entry in listed[model].items() if name != "like"}


def _entry(model: str, name: str, listed: _Files, seen: tuple[str, ...]) -> dict[str, Any]:
    """An entry's settings, what it is like included."""
    here = f"{model}/{name}"
    if here in seen:
        raise SettingError(f"recipe {here}: like: {' -> '.join([*seen, here])} is a cycle")
    entries = _entries(model, listed, ()) if model in listed else {}
    if name not in entries:
        raise SettingError(f"recipe {seen[-1]}: like: {here} is not an entry: {nearest(name, [*(entries or listed)])}")
    owner, settings = entries[name]
    if "like" not in settings:
        return dict(settings)
    other, _, entry = str(settings["like"]).rpartition("/")
    rest = {key: value for key, value in settings.items() if key != "like"}
    return _entry(other or owner, entry, listed, (*seen, here)) | rest

"""Named threat models: one setting gives the budget of an attack and the constraint by which every attack is judged."""

from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from skeleton_adv.core.errors import SettingError


def apply_threat(config: DictConfig, name: str | None, overrides: Sequence[str]) -> str | None:
    """Set the constraint and the budget of the threat model in ``config``; return the unit of its lengths.

    An attack receives the budget if it has all of its settings, such as ``norm`` and ``eps``; any other attack is
    only judged. ``overrides`` are the settings on the command line. Raises ``SettingError`` if one of them sets
    what the threat model sets.
    """
    with open_dict(config):
        threat: Any = config.pop("threat", None)
    if threat is None:
        return None
    budget = dict(threat.budget)
    taken = [f"attack.{key}" for key in budget]
    for word in overrides:
        key = word.partition("=")[0].lstrip("+")
        if key.startswith("threat."):
            raise SettingError(f"{key} cannot be set: a threat model is fixed by its name; set constraint=... instead")
        if key in taken or key == "constraint" or key.startswith("constraint."):
            raise SettingError(f"threat={name} sets {key} itself: remove {key} or threat={name}")
    with open_dict(config):
        config.constraint = threat.constraint
        if budget and all(key in config.attack for key in budget):
            for key, value in budget.items():
                config.attack[key] = value
    return str(OmegaConf.select(threat, "unit", default="any"))


def check_unit(name: str | None, unit: str | None, clips: str) -> None:
    """Raise ``SettingError`` if the lengths of a threat model have another unit than the ``clips``."""
    if unit not in (None, "any", clips):
        raise SettingError(
            f"threat={name} is in {_UNITS.get(str(unit), unit)}, but the clips are in {_UNITS[clips]}: choose another "
            "threat=..."
        )


_UNITS = {"m": "metres", "image": "fractions of an image"}

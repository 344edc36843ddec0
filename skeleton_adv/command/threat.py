"""Named threat models: one setting gives the budget of an attack and the constraint by which every attack is judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from omegaconf import DictConfig, OmegaConf, open_dict

from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.dataset import Dataset

_UNITS = {"m": "metres", "image": "fractions of an image"}


@dataclass(frozen=True)
class Threat:
    """The threat model of a command, by name; None: there is none."""

    name: str | None

    @classmethod
    def of(cls, choices: Mapping[str, Any]) -> Self:
        """The chosen one."""
        name = choices.get("threat")
        return cls(None if name is None else str(name))

    def applied(self, config: DictConfig, overrides: Sequence[str]) -> tuple[DictConfig, str | None]:
        """A copy of ``config`` with the constraint and the budget of the threat model, and the unit of its lengths.

        An attack receives the budget if it has all of its settings, such as ``norm`` and ``eps``; the ``norm`` may be
        missing, because an attack without it, such as a universal perturbation, limits the length of each joint's
        displacement. Any other attack is only judged. ``overrides`` are the words of the run. Raises ``SettingError``
        if one of them sets what the threat model sets.
        """
        config = config.copy()
        with open_dict(config):
            threat: Any = config.pop("threat", None)
        if threat is None:
            return config, None
        budget = dict(threat.budget)
        self._check_words(overrides, [f"attack.{key}" for key in budget])
        with open_dict(config):
            config.constraint = threat.constraint
            if budget and all(key in config.attack for key in budget if key != "norm"):
                for key in (key for key in budget if key in config.attack):
                    config.attack[key] = budget[key]
        return config, str(OmegaConf.select(threat, "unit", default="any"))

    def _check_words(self, overrides: Sequence[str], taken: Sequence[str]) -> None:
        """Raise ``SettingError`` if a word of the command sets what the threat model sets."""
        for word in overrides:
            key = word.partition("=")[0].lstrip("+")
            if key.startswith("threat."):
                raise SettingError(
                    f"{key} cannot be set: a threat model is fixed by its name; set constraint=... instead"
                )
            if key in taken or key == "constraint" or key.startswith("constraint."):
                raise SettingError(f"threat={self.name} sets {key} itself: remove {key} or threat={self.name}")

    def check_unit(self, unit: str | None, dataset: Dataset) -> None:
        """Raise ``SettingError`` if the lengths of the threat model have another unit than the clips."""
        if unit in (None, "any"):
            return  # some datasets read their files to know their unit
        clips = dataset.unit
        if unit != clips:
            raise SettingError(
                f"threat={self.name} is in {_UNITS.get(str(unit), unit)}, but the clips are in {_UNITS[clips]}: choose "
                "another threat=..."
            )

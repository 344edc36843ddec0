"""The identity of a run or a fitted part: a hash of every setting that can change a number."""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from inspect import getsourcefile, unwrap
from pathlib import Path
from typing import Any

from skeleton_adv.core.files import digest

# Raise an entry when its method gives different numbers, or rows with another meaning, for the same settings.
REVISIONS = {"cw": 3, "pgd": 2, "k_a3": 2, "k_a3_admm": 2, "certificate": 3}

# Keys that were added after the first runs, with their neutral values. A key with its neutral value is left out
# of the hash, so that older runs are still found. A key is written with the ``_target_`` whose argument it is,
# or with its dotted path in the settings.
NEUTRAL: dict[str, Any] = {"dataset.label": "action", "recipe.noise_warmup": 0.0, "recipe.warmup": 0}
_STARTS = {"falling": False, "start": "clean", "start_steps": 100}
_RESTARTS = {"restarts": 1, "noise": 0.02, "seed": 0}
NEUTRAL |= {f"skeleton_adv.attacks.admm.admm.{key}": value for key, value in _STARTS.items()}
NEUTRAL |= {
    f"skeleton_adv.attacks.admm_feasible.admm_feasible.{key}": value for key, value in {**_STARTS, **_RESTARTS}.items()
}

# The same for settings of any dataset, which runs leave out, because they are compared with those of older runs.
NEUTRAL_OF_DATA = [(key.partition(".")[2], value) for key, value in NEUTRAL.items() if key.startswith("dataset.")]


def identity(settings: Mapping[str, Any], schema: int) -> str:
    """Twelve hexadecimal digits for ``settings`` and the ``schema`` of the result; 1 and 1.0 are the same."""
    canonical = json.dumps(_canonical({"schema": schema, **settings}), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _canonical(value: Any, path: str = "") -> Any:
    if isinstance(value, Mapping):
        owner = str(value.get("_target_", path))
        keys = {name: f"{owner}.{name}" if owner else str(name) for name in value}
        hashed = [name for name in value if keys[name] not in NEUTRAL or NEUTRAL[keys[name]] != value[name]]
        return {name: _canonical(value[name], keys[name]) for name in hashed}
    if isinstance(value, list | tuple):
        return [_canonical(item, path) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def source_of(code: Callable[..., Any]) -> dict[str, str]:
    """Digest of the file that defines a function or class from outside this package; nothing for ours.

    Our own methods have a revision instead. Code typed into an interpreter has no file and no digest.
    """
    while isinstance(code, partial):
        code = code.func
    if str(getattr(code, "__module__", "")).startswith("skeleton_adv."):
        return {}
    try:
        file = getsourcefile(unwrap(code))
    except TypeError:  # an object, or a class of an interactive session
        return {}
    return {"source": digest(Path(file))} if file is not None and Path(file).is_file() else {}

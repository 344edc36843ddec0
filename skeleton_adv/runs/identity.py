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
# ``stages``: attacks in stages, whose rows count the passes of a clip instead of those of its chunk.
REVISIONS = {"stages": 2, "cw": 3, "pgd": 2, "k_a3": 2, "k_a3_admm": 2, "certificate": 3}

# Keys that were added after the first runs, with their neutral values. A key with its neutral value is left out
# of the hash, so that older runs are still found. A key is written with the ``_target_`` whose argument it is,
# or with its dotted path in the settings.
NEUTRAL: dict[str, Any] = {
    "dataset.label": "action",
    "recipe.noise_warmup": 0.0,
    "recipe.warmup": 0,
    "smoothing.stop": [],
    "skeleton_adv.attacks.admm.admm.stop": 0.0,
    "skeleton_adv.attacks.cw.cw.warm": False,
}
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
    canonical = json.dumps(_canonical({"schema": schema, **effective(settings)}), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def effective(settings: Mapping[str, Any], path: str = "") -> dict[str, Any]:
    """The settings without later keys that have their neutral value, so that runs of all versions compare."""
    owner, found = str(settings.get("_target_", path)), {}
    for name, value in settings.items():
        key = f"{owner}.{name}" if owner else str(name)
        if key not in NEUTRAL or NEUTRAL[key] != value:
            found[name] = _effective(value, key)
    return found


def _effective(value: Any, path: str) -> Any:
    if isinstance(value, Mapping):
        return effective(value, path)
    return [_effective(item, path) for item in value] if isinstance(value, list | tuple) else value


def _canonical(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
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

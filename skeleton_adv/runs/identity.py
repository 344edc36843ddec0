"""What makes a run or a fitted part itself: a hash of every setting that can change a number."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

# Raised when a method gives other numbers, or rows of another meaning, for the same settings.
REVISIONS = {"cw": 2, "pgd": 2, "certificate": 3}

# Keys that were added after the first runs, with the value that leaves everything as it was: while a key has
# it, the key stays out of the hash, and older runs are found again. A key is named by the ``_target_`` it is
# an argument of, or by its dotted place among the settings.
NEUTRAL: dict[str, Any] = {"recipe.noise_warmup": 0.0}


def identity(settings: Mapping[str, Any], schema: int) -> str:
    """Twelve hexadecimal digits of ``settings`` and the ``schema`` of what they make; 1 and 1.0 are the same."""
    canonical = json.dumps(_canonical({"schema": schema, **settings}), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:12]


def _canonical(value: Any, place: str = "") -> Any:
    if isinstance(value, Mapping):
        owner = str(value.get("_target_", place))
        keys = {name: f"{owner}.{name}" if owner else str(name) for name in value}
        kept = [name for name in value if keys[name] not in NEUTRAL or NEUTRAL[keys[name]] != value[name]]
        return {name: _canonical(value[name], keys[name]) for name in kept}
    if isinstance(value, list | tuple):
        return [_canonical(item, place) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value

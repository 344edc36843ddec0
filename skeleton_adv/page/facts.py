"""How each run was made: settings, command, digests, versions and warnings; and its rows, one per clip."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from skeleton_adv.core.files import read_json
from skeleton_adv.page.board import key_of
from skeleton_adv.page.names import with_unit
from skeleton_adv.report.show import by_dataset
from skeleton_adv.report.stats import flatten
from skeleton_adv.report.weakness import signs
from skeleton_adv.report.words import attack_summary, class_name, data_summary, victim_name
from skeleton_adv.runs.load import Run

NOTED = {
    "git_commit": "commit",
    "git_dirty": "uncommitted changes",
    "device": "device",
    "platform": "platform",
    "began": "began",
    "ended": "ended",
    "seconds": "duration",
    "checkpoint_accuracy": "accuracy of the weights in training",
}
HIDDEN = ("checkpoint", "surrogate_checkpoint", "prepared")  # shown as digests
MOST = 1000  # rows of a run on the page


def facts(runs: Sequence[Run]) -> dict[str, Any]:
    """What the page says about each run, by its key."""
    weak: dict[str, list[str]] = {}
    for here in by_dataset(runs):
        for run, sign in signs([run for run in here if run.kind == "attack"], here):
            weak.setdefault(key_of(run), []).append(sign)
    return {key_of(run): _facts(run, weak.get(key_of(run), [])) for run in runs}


def _facts(run: Run, weak: Sequence[str]) -> dict[str, Any]:
    noted: Mapping[str, Any] = read_json(run.folder / "run.json") if run.folder else {}
    digests = {
        "clips": run.prepared,
        "weights of the victim": run.weights,
        "weights of the surrogate": run.surrogate_weights,
        "rows (records.csv)": (noted.get("rows") or {}).get("digest"),
    }
    return {
        "title": with_unit(run, attack_summary(run)) if run.kind == "attack" else f"{run.kind} of {victim_name(run)}",
        "data": data_summary([run]),
        "identity": run.identity,
        "command": run.command,
        "clips": f"{run.done} of {run.total}",
        "settings": {key: value for key, value in flatten(run.settings).items() if _is_setting(key)},
        "digests": {name: value for name, value in digests.items() if value},
        "versions": noted.get("versions") or {},
        "made": {text: _shown(key, noted[key]) for key, text in NOTED.items() if noted.get(key) is not None},
        "uncommitted": noted.get("git_dirty") is True,
        "remarks": list(run.remarks),
        "weak": list(weak),
    }


def _is_setting(key: str) -> bool:
    return key not in HIDDEN and not key.endswith("_partial_")


def _shown(key: str, value: Any) -> str:
    """A fact of run.json as text."""
    if key == "checkpoint_accuracy" and isinstance(value, int | float):
        return f"{100 * value:.1f} %"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g} s" if key == "seconds" and isinstance(value, int | float) else str(value)


def rows(runs: Sequence[Run]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The rows of attacks: names and classes once per dataset, and arrays of codes by run.

    ``pred`` (n, 4) contains the label, the prediction before and after, and whether the clip is fooled (1), feasible
    (2) and correct before (4); ``size`` (n,) is rms in hundredths of a thousandth of the unit.
    """
    header: dict[str, Any] = {"names": [], "classes": [], "runs": {}}
    arrays: dict[str, np.ndarray] = {}
    names: dict[str, int] = {}
    classes: dict[str, int] = {}
    for number, run in enumerate(one for one in runs if one.kind == "attack"):
        table = run.records[:MOST]
        codes = [names.setdefault(str(name), len(names)) for name in table["name"]]
        used = [classes.setdefault(class_name(run, one), len(classes)) for one in range(-1, run.num_classes)]
        preds = [np.take(used, table[name].to_numpy() + 1) for name in ("label", "clean_pred", "adv_pred")]
        flags = sum(
            bit * table[name].to_numpy().astype(int)
            for bit, name in ((1, "success"), (2, "feasible"), (4, "clean_correct"))
        )
        rms = np.nan_to_num(100 * table["rms_mm"].to_numpy(), nan=65535, posinf=65535)
        arrays[f"n{number}"] = np.array(codes, dtype="<u2")
        arrays[f"p{number}"] = np.stack([*preds, flags], axis=0).astype("<u2")
        arrays[f"s{number}"] = rms.round().clip(0, 65535).astype("<u2")
        header["runs"][key_of(run)] = {"place": number, "left_out": max(0, len(run.records) - MOST)}
    return header | {"names": [*names], "classes": [*classes]}, arrays

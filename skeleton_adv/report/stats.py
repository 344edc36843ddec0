"""Records of a run -> its rates, with counts and intervals, and its measures. Pure functions; no torch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pandas as pd
from pandas.api.types import is_numeric_dtype

from skeleton_adv.core.errors import RunError
from skeleton_adv.runs.folder import COLUMNS, read_json

MEASURES = ("bone", "angle", "true_angle", "speed")
# Whose choice of option a setting belongs to.
KINDS = {
    **{name: name for name in ("attack", "model", "defense")},
    "checkpoint": "model",
    "surrogate": "model@surrogate",
    "surrogate_checkpoint": "model@surrogate",
}


@dataclass(frozen=True)
class Rate:
    """A share of clips with its count and 95 % Wilson interval."""

    hits: float  # whole for a victim without noise; else the sum of its shares of judgements
    count: int

    @property
    def value(self) -> float:
        return self.hits / self.count if self.count else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        if not self.count:
            return float("nan"), float("nan")
        z, n, p = 1.959963984540054, self.count, self.value
        middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        low, high = (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)
        return (low if self.hits else 0.0), (high if self.hits < n else 1.0)


class Described(Protocol):
    """A run of whatever kind, by what its ``run.json`` says."""

    @property
    def about(self) -> Mapping[str, Any]: ...


AnyRun = TypeVar("AnyRun", bound=Described)


@dataclass(frozen=True)
class Run:
    """One run: what ``run.json`` says, and a row a clip."""

    about: Mapping[str, Any]
    records: pd.DataFrame
    folder: Path | None = None  # where it lies

    @property
    def attack(self) -> Mapping[str, Any]:
        settings: Mapping[str, Any] = self.about["settings"]["attack"]
        return settings


def finished(folder: Path, required: bool) -> bool:
    """Whether the run in ``folder`` has ended; raises ``RunError`` if it is ``required`` and has not."""
    ended = (folder / "run.json").exists()
    if required and not ended:
        raise RunError(
            f"{folder} has no run.json, so it has not ended: give its command once more, "
            "delete the folder, or leave such runs out with --skip-unfinished"
        )
    return ended


def load_run(folder: Path, required: bool = False) -> Run | None:
    """The run in ``folder``; None if it has not ended, unless it is ``required``.

    Raises ``RunError`` as ``read_rows`` does, and if a required run has not ended.
    """
    if not finished(folder, required):
        return None
    return Run(*read_rows(folder / "records.csv", COLUMNS), folder)


def read_rows(path: Path, columns: Sequence[str]) -> tuple[dict[str, Any], pd.DataFrame]:
    """What the ``run.json`` beside a file of rows says, and its rows in the order of the clips.

    Raises ``RunError`` if rows are missing, damaged, doubled, of other columns, or not as many as it says.
    """
    about = read_json(path.parent / "run.json")
    way_out = f"delete the folder {path.parent}, and run again what you still need"
    if not path.exists():
        raise RunError(f"{path.parent} has a run.json but no {path.name}: {way_out}")
    try:
        rows = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}): {way_out}") from None
    if tuple(rows.columns) != tuple(columns):
        raise RunError(f"{path} has other columns than this version writes: {way_out}")
    unread = [name for name in columns if name != "name" and len(rows) and not is_numeric_dtype(rows[name])]
    if unread:
        raise RunError(f"{path} is damaged (its column {unread[0]} holds more than numbers): {way_out}")
    if rows["index"].duplicated().any() or len(rows) != about.get("done"):
        raise RunError(f"{path} holds {len(rows)} rows, run.json says {about.get('done')}: {way_out}")
    return about, rows.sort_values("index", ignore_index=True)


def load_runs(root: Path, skip_unfinished: bool = False) -> list[Run]:
    """All runs below a folder; raises ``RunError`` as ``load_run`` does, for two copies of one run, and for
    unfinished ones unless skipped.
    """
    folders = sorted(path.parent for path in root.rglob("records.csv"))
    return each_once((folder, load_run(folder, required=not skip_unfinished)) for folder in folders)


def each_once(found: Iterable[tuple[Path, AnyRun | None]]) -> list[AnyRun]:
    """The runs that have ended; raises ``RunError`` if one lies in two folders, since it would count twice."""
    places: dict[tuple[str, str], Path] = {}
    runs = []
    for folder, run in found:
        if run is not None:
            one = (run.about["dataset"], run.about["identity"])
            if one in places:
                raise RunError(f"{places[one]} and {folder} are the same run: name a folder that holds one of them")
            places[one] = folder
            runs.append(run)
    return runs


def of_goal(run: Run) -> pd.DataFrame:
    """The rows that an attack could fail on: in targeted runs, not those whose label is the target."""
    return run.records[run.records["label"] != run.records["target"]]


def not_diverged(run: Run) -> pd.DataFrame:
    """The rows of ``of_goal`` on which the attack did not diverge."""
    rows = of_goal(run)
    return rows[rows["adv_pred"] >= 0]


def rates(run: Run) -> dict[str, Rate]:
    """Accuracy before and after; success and feasible success, over all clips and over initially right ones.

    A clip that a victim with noise judged several times counts by the share of them. In targeted runs,
    clips whose label is the target are left out, except from clean accuracy. ``found`` is the attack's own word;
    ``noise_success`` that of Gaussian noise of each adversarial clip's l2.
    """
    rows = run.records
    aimed = of_goal(run)
    right = aimed[aimed["clean_correct"]]
    return {
        "clean_accuracy": _rate(rows["clean_share"]),
        "adv_accuracy": _rate(aimed["adv_share"]),
        "found": _rate(aimed["found"]),
        "success": _rate(aimed["success_share"]),
        "noise_success": _rate(aimed["control_share"]),
        "success_if_right": _rate(right["success_share"]),
        "feasible_success": _rate(aimed["success_share"] * aimed["feasible"]),
        "feasible_success_if_right": _rate(right["success_share"] * right["feasible"]),
    }


def measures(run: Run) -> dict[str, float]:
    """Means of each measure, and of its per-clip maximum the mean and the median, over ``of_goal``'s clips.

    Clips on which the attack diverged are left out.
    """
    rows = not_diverged(run)
    found: dict[str, float] = {}
    for name in MEASURES:
        found[name] = float(rows[f"{name}_mean"].mean())
        found[f"{name}_max_mean"] = float(rows[f"{name}_max"].mean())
        found[f"{name}_max_median"] = float(rows[f"{name}_max"].median())
    for name in ("kinetic", "l2", "linf", "rms_mm"):
        found[name] = float(rows[name].mean())
    found["without_motion"] = float(rows["kinetic"].isna().sum())
    for name in ("bone_ok", "angle_ok", "speed_ok", "feasible"):
        found[name] = float(rows[name].mean())
    return found


def warnings(run: Run) -> list[str]:
    """What makes a run's attack look weaker than it could be, in plain words."""
    rows, defense = run.records, run.about["settings"].get("defense", {})
    found = []
    if run.about["settings"].get("adaptive") and defense.get("sigma") and defense.get("eot", 1) < 2:
        found.append("the victim draws noise and the attack averages over none: set defense.eot")
    # Of clips that are surely right the cross-entropy's gradient is tiny: the median alone says little.
    still, usual = int((rows["gradient"] == 0).sum()), max(float(rows["gradient"].median()), 1.0)
    if still:
        why = "it is masked, or lost to rounding where the victim is sure"
        found.append(f"{still} of {len(rows)} clips have no gradient of the cross-entropy: {why}")
    wild = int((~rows["gradient"].lt(1e3 * usual) & (rows["gradient"] != 0)).sum())
    if wild:
        found.append(
            f"{wild} of {len(rows)} clips have a gradient over {1e3 * usual:g} a metre, 1000 times what is usual"
        )
    failed = int((~rows["success"]).sum())
    settings = run.about["settings"]  # else the margins are another network's, or the undefended one's
    own = not run.about["choices"].get("model@surrogate") and settings.get("adaptive", True)
    if own and failed and rows["falling"].sum() > 0.1 * failed:
        found.append(
            f"{int(rows['falling'].sum())} of {failed} failures were still getting nearer: more steps may help"
        )
    diverged = int((rows["adv_pred"] < 0).sum())
    if diverged:
        found.append(f"{diverged} of {len(rows)} clips diverged: neither fooled nor right, and in no mean of a measure")
    if rows["control_share"].sum() > rows["success_share"].sum():
        found.append("Gaussian noise of the same l2 fools the victim more often than the attack does")
    return found


def _rate(hits: pd.Series) -> Rate:
    total = float(hits.sum())
    return Rate(int(total) if total.is_integer() else total, len(hits))


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as dotted keys."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = float(value) if isinstance(value, int) and not isinstance(value, bool) else value
    return found


def differences(runs: Sequence[Described], apart_from: Sequence[str]) -> list[str]:
    """For each run, what sets it apart from the others, as text: nothing is mixed silently.

    Settings of an attack are compared among the runs of that attack, those of a model or a defense
    likewise, and everything else among all runs.
    """
    settings = [flat(run.about["settings"]) for run in runs]
    keys = sorted({key for one in settings for key in one} - set(apart_from))

    def peers(place: int, key: str) -> set[str]:
        kind = KINDS.get(key.partition(".")[0])
        chosen = [run.about["choices"].get(kind) if kind else None for run in runs]
        return {repr(one.get(key)) for one, name in zip(settings, chosen, strict=True) if name == chosen[place]}

    return [
        ", ".join(f"{key}={_short(one.get(key))}" for key in keys if len(peers(place, key)) > 1)
        for place, one in enumerate(settings)
    ]


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text[:8] if len(text) == 64 else text  # digests

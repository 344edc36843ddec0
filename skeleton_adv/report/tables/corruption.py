"""Common corruptions, the control of a robustness table: accuracy by kind and severity."""

from collections.abc import Sequence
from typing import Any

from skeleton_adv.report.columns import ACCURACY, CLEAN, CLIPS, DEFENSE, RMS, VICTIM, Column, rate_cell
from skeleton_adv.report.stats import Rate, attack_rate, clean_accuracy
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.words import network_names
from skeleton_adv.runs.load import Run

SEVERITIES = range(1, 6)


def takes(run: Run) -> bool:
    """Whether a run corrupts clips without an adversary."""
    return run.access == "none" and {"kind", "severity"} <= {*run.of_attack}


def by_severity(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per victim and kind: the accuracy on clean clips, at each severity, and over all severities together."""
    names = network_names(runs, noise=True)
    rows: dict[Any, dict[str, Any]] = {}
    counted: dict[Any, dict[int, Rate]] = {}
    for run in runs:
        key = (names["model"](run), run.defense, repr(run.of_defense), run.of_attack["kind"], len(run.records))
        row = {"model": key[0], "defense": run.defense, "kind": key[3]} | clean_accuracy(run).columns("clean_accuracy")
        accuracy, severity = attack_rate(run, "adv_share"), int(run.of_attack["severity"])
        rows.setdefault(key, row).update(accuracy.columns(f"severity_{severity}"))
        counted.setdefault(key, {})[severity] = accuracy
    for key, row in rows.items():
        if {*counted[key]} == {*SEVERITIES}:
            row["mean"] = sum(rate.value for rate in counted[key].values()) / len(SEVERITIES)
    return sorted(rows.values(), key=lambda row: (row["kind"], row["model"], row["defense"] or ""))


def _mean_cell(row: Any, key: str) -> str:
    return f"{100 * row[key]:.1f}" if row.get(key) == row.get(key) and row.get(key) is not None else ""


BY_SEVERITY = FurtherPage(
    name="_severity",
    heading="Accuracy by severity, 1 to 5, over all clips, and its mean over the five:",
    rows=by_severity,
    columns=lambda runs: (
        Column("kind", "corruption"),
        Column("model", "victim"),
        Column("defense", "defense"),
        Column("clean_accuracy", "clean", show=rate_cell),
        *(Column(f"severity_{one}", str(one), show=rate_cell) for one in SEVERITIES),
        Column("mean", "mean, %", show=_mean_cell),
    ),
)

TABLE = Table(
    name="benchmark_corruption",
    title="Common corruptions",
    takes=takes,
    lead=(
        VICTIM,
        DEFENSE,
        Column("kind", "corruption", lambda run: run.of_attack["kind"], covers=("attack.kind",)),
        Column("severity", "severity", lambda run: run.of_attack["severity"], covers=("attack.severity",)),
    ),
    columns=(CLIPS, ACCURACY, CLEAN, RMS),
    further=(BY_SEVERITY,),
    runs_last=True,
)

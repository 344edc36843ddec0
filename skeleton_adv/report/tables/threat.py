"""Attacks under a named threat model: a success counts only if the threat model allows the clip."""

from collections.abc import Sequence
from typing import Any

from skeleton_adv.report.columns import (
    ACCESS,
    CLEAN,
    CLIPS,
    DEFENSE,
    FEASIBLE,
    FEASIBLE_IF_RIGHT,
    FORWARDS,
    GOAL,
    GRADIENTS,
    L2,
    METHOD,
    NOISE,
    RMS,
    SAVED_FROM,
    SUCCESS_IF_RIGHT,
    SURROGATE,
    VICTIM,
    Column,
    Item,
    format_rate,
    rate_cell,
)
from skeleton_adv.report.differences import distinct
from skeleton_adv.report.paired import Paired, by_victim, comparable
from skeleton_adv.report.retrained import page
from skeleton_adv.report.stats import attack_rate, flatten
from skeleton_adv.report.table import FurtherPage, Table
from skeleton_adv.report.transferred import TRANSFER
from skeleton_adv.report.words import network_names, origin_name
from skeleton_adv.runs.load import Run

SEES = ("white box", "adaptive")  # the strongest access: these attacks are compared by the worst case


def attack_name(run: Run, names: Any) -> str:
    """An attack with its surrogate, and its access unless it is a white box."""
    name = run.attack + (f" of {origin_name(run)}" if run.origin is not None else "")
    name += f" on {names['surrogate'](run)}" if run.surrogate else ""
    return (
        name
        + ("" if run.access in SEES or run.surrogate else f" ({run.access})")
        + (", targeted" if run.targeted else "")
    )


def worst_cases(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The worst case over the white-box attacks on each victim, over the clips that all of them attack.

    Attacks on fewer than half as many clips as another attack on the victim are left out, and so are victims that draw
    noise: the best of several attacks on the same draws is biased, and records have no fresh ones.
    """
    names, found = network_names(runs, noise=True), []
    for every in by_victim([run for run in runs if run.access in SEES and not run.randomised]):
        group = comparable(every)
        paired = Paired(group)
        rates = [paired.rate(place) for place in range(len(group))]
        best = max(range(len(group)), key=lambda place: rates[place].value)
        row = {"model": names["model"](group[0]), "defense": group[0].defense, "attacks": len(group)}
        row |= {"paired_clips": len(paired.clips), **paired.worst_case.columns("worst_case")}
        row |= {"strongest": attack_name(group[best], names), **rates[best].columns("strongest_success")}
        found.append(row | {"alone": paired.alone(best)})
    return sorted(found, key=lambda row: -row["worst_case"])


WORST = FurtherPage(
    name="_worst_case",
    heading="Worst case over the white-box attacks: the share of clips that stay correct under all of them, among the "
    "clips that are correct before and that all of them attack. Attacks on fewer than half as many clips as another "
    "are left out, and so are victims that draw noise, because a worst case over noisy judgements is biased. The most "
    "robust victim is first:",
    rows=worst_cases,
    columns=lambda runs: (
        Column("model", "victim"),
        Column("defense", "defense"),
        Column("attacks", "attacks"),
        Column("paired_clips", "clips"),
        Column("worst_case", "accuracy in the worst case", show=rate_cell),
        Column("strongest", "strongest attack"),
        Column("strongest_success", "its success", show=rate_cell),
        Column("alone", "clips that only it fools"),
    ),
)


def matrix(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """One row per attack, one column per victim: success on clips that are correct before."""
    rows: dict[str, dict[str, Any]] = {}
    for run, (attack, victim) in zip(runs, cells(runs), strict=True):
        row = rows.setdefault(attack, {"attack": attack})
        row[victim] = format_rate(attack_rate(run, "success_share", right_only=True, feasible=True))
    return [*rows.values()]


def cells(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The attack and the victim of each run; runs that would share a cell are named by the settings that differ."""
    names = network_names(runs, noise=True)
    victims = [f"{names['model'](run)}{f', {run.defense}' if run.defense else ''}" for run in runs]
    attacks = [attack_name(run, names) for run in runs]
    victims = distinct(victims, attacks, [flatten(run.of_defense) for run in runs])
    own = [{"target": run.target, "seed": run.settings.get("seed")} | flatten(run.of_attack) for run in runs]
    attacks = distinct(attacks, victims, own)
    return [*zip(distinct(attacks, victims, [{"run": run.identity} for run in runs]), victims, strict=True)]


def victims(runs: Sequence[Run]) -> list[Item]:
    return [Column("attack", "attack"), *(Column(one, one) for one in dict.fromkeys(one for _, one in cells(runs)))]


MATRIX = FurtherPage(
    name="_matrix",
    heading="Success within the threat model by attack and victim, on clips that are correct before:",
    rows=matrix,
    columns=victims,
)

TRAININGS = page(lambda runs: [attack for attack, _ in cells(runs)])

TABLE = Table(
    name="benchmark_threat",
    title="Threat model",
    takes=lambda run: run.threat is not None,
    apart=lambda run: str(run.threat),
    lead=(VICTIM, DEFENSE, GOAL, ACCESS, SURROGATE, *METHOD, SAVED_FROM),
    columns=(CLIPS, FEASIBLE_IF_RIGHT, SUCCESS_IF_RIGHT, FEASIBLE, CLEAN, RMS, L2, GRADIENTS, FORWARDS, NOISE),
    notes=lambda runs: "Feasible: within the threat model.",
    further=(WORST, MATRIX, TRAININGS, TRANSFER),
    runs_last=True,
)

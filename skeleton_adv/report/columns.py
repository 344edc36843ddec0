"""The columns that tables share: each has its value, its text, and the sentence that explains it."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pandas as pd

from skeleton_adv.report import stats, words
from skeleton_adv.report.stats import Rate, Spread
from skeleton_adv.runs.load import Run
from skeleton_adv.runs.schema import ATTACK, constraint_columns

Row = Mapping[str, Any]  # a row of the CSV
Value = Callable[[Run], Any]
RATES = "Rates are percentages with 95 % Wilson intervals and counts."
CONFIDENCE = "Confidence: an attack aims for a logit of a wrong class that exceeds that of the true class by this much."


def has(row: Row, *keys: str) -> bool:
    """Whether a row has a value in each of these columns."""
    return all(key in row and bool(pd.notna(row[key])) and row[key] != "" for key in keys)


def text_cell(row: Row, key: str) -> str:
    """A value as it is; empty if there is none."""
    return str(row[key]) if has(row, key) else ""


def number_cell(form: str = ".3f", factor: float = 1) -> Callable[[Row, str], str]:
    """Writes a number in this form, times ``factor``; any other value as it is."""

    def cell(row: Row, key: str) -> str:
        if not has(row, key) or isinstance(row[key], str):
            return text_cell(row, key)
        return format(factor * row[key], form)

    return cell


def format_count(hits: float) -> str:
    """A count, or the sum of shares of judgements, which may be fractional."""
    return f"{hits:.0f}" if float(hits).is_integer() else f"{hits:.1f}"


def format_rate(rate: Rate) -> str:
    """A rate as text: its percentage, its interval and its count."""
    low, high = rate.interval
    return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({format_count(rate.hits)}/{rate.count})"


def rate_cell(row: Row, key: str) -> str:
    """The text of a rate, from its columns in a row."""
    return format_rate(Rate(row[f"{key}_hits"], int(row[f"{key}_clips"]))) if has(row, f"{key}_hits") else ""


def spread_cell(factor: float = 1) -> Callable[[Row, str], str]:
    """Writes the maximum within a clip: its mean / its median over clips."""

    def cell(row: Row, key: str) -> str:
        parts = [factor * row[name] for name in (f"{key}_mean", f"{key}_median") if has(row, name)]
        return " / ".join(f"{part:.3g}" for part in parts)

    return cell


@dataclass(frozen=True)
class Column:
    """One column of a table.

    - ``key``: its name in the CSV; a rate adds its count and interval, a spread its mean and median
    - ``head``: its heading, with ``{length}`` and ``{small}`` for the units; empty: the column is in the CSV only
    - ``value``: a run -> a number, a text, a ``Rate``, a ``Spread``, or values by key; None: another column or a
      published table has the value
    - ``show``: the text of a cell, from the row of the CSV
    - ``note``: the sentence that explains it
    - ``covers``: the settings that it shows, which "differs" then omits
    - ``among``: makes ``value`` from all runs of the table, if a cell depends on the other runs
    - ``always``: whether it is shown even if the table has more columns than fit
    - ``once``: whether runs that share a row share its cell
    - ``rank``: what rows are sorted by; None: the value
    - ``pair``: the column that it repeats for one of the runs that share a row; all repeats are shown, or none
    """

    key: str
    head: str
    value: Value | None = None
    show: Callable[[Row, str], str] = text_cell
    note: str | Callable[[Sequence[Run]], str] = ""
    covers: tuple[str, ...] = ()
    among: Callable[[Sequence[Run]], Value] | None = None
    always: bool = False
    once: bool = False
    rank: Callable[[Any], Any] | None = None
    pair: str = ""

    def of(self, runs: Sequence[Run]) -> Callable[[Run], dict[str, Any]]:
        """A function from each of these runs to its values, by key."""
        value = self.among(runs) if self.among else self.value

        def values(run: Run) -> dict[str, Any]:
            found = value(run) if value else {}
            if isinstance(found, Rate | Spread):
                return found.columns(self.key)
            return found if isinstance(found, dict) else {self.key: found}

        return values


@dataclass(frozen=True)
class Scope:
    """What the columns of a table depend on: the runs' constraints, the columns that attacks add, and the unit."""

    constraints: Mapping[str, Mapping[str, str]]
    added: Sequence[str]
    unit: words.Unit


Item = Column | Callable[[Scope], Sequence[Column]]  # a column, or the columns that depend on the runs


def scope_of(runs: Sequence[Run]) -> Scope:
    """The constraints and added columns of any of these runs, and their unit."""
    constraints: dict[str, Mapping[str, str]] = {}
    added: dict[str, None] = {}
    for run in runs:
        constraints |= {name: one for name, one in run.constraints.items() if name not in constraints}
        core = {**ATTACK.columns, **constraint_columns(run.constraints)}
        added |= {name: None for name, kind in run.columns.items() if name not in core and kind != "text"}
    return Scope(constraints, [*added] if runs[0].kind == ATTACK.name else [], words.unit_of(runs))


def expand(items: Sequence[Item], scope: Scope) -> list[Column]:
    """Every column of these items, each key once."""
    found: dict[str, Column] = {}
    for item in items:
        for column in (item,) if isinstance(item, Column) else item(scope):
            found.setdefault(column.key, column)
    return [*found.values()]


# Lead columns, which define a row.


def _victim_values(runs: Sequence[Run]) -> Value:
    """Victims by name, seed and training, and by a digest if several have these in common."""
    names = {(run.victim, run.seeds.get("model"), words.training_summary(run), run.weights) for run in runs}
    often = Counter(one[:3] for one in names)

    def values(run: Run) -> dict[str, Any]:
        one = (run.victim, run.seeds.get("model"), words.training_summary(run))
        digest = {"weights": str(run.weights)[:8]} if often[one] > 1 else {}
        training = {} if run.trained_noise or not one[2] else {"training": one[2]}
        training |= {"training": f"on {run.trained_space}"} if run.trained_space not in (None, "joints") else {}
        return {"model": one[0], "seed": one[1], "trained_noise": run.trained_noise, **training, **digest}

    return values


def _victim_cell(row: Row, _: str) -> str:
    """The network, with what is unusual in its training: a seed other than 0, noise, or another method."""
    text = str(row["model"]) + (f" s{row['seed']:g}" if has(row, "seed") and row["seed"] else "")
    noise = has(row, "trained_noise") and bool(row["trained_noise"])
    text += f", trained with σ={row['trained_noise']:g}" if noise else ""
    text += f"{' ' if noise else ', '}{row['training']}" if has(row, "training") else ""
    return text + (f" ({row['weights']})" if has(row, "weights") else "")


def _goal_cell(row: Row, _: str) -> str:
    return str(row["setting"]) + (f", {row['target']}" if has(row, "target") else "")


def _attack_setting(name: str) -> Value:
    return lambda run: run.of_attack.get(name)


def _method_cell(row: Row, _: str) -> str:
    """The attack with its beta or its budget."""
    beta, eps = (number_cell("g")(row, key) for key in ("beta", "eps"))
    parts = [text_cell(row, "attack"), f"β={beta}" if beta else "", text_cell(row, "norm"), f"ε={eps}" if eps else ""]
    return " ".join(filter(None, parts))


GOAL = Column(
    "setting",
    "goal",
    lambda run: {"setting": words.goal(run), "target": run.target or ""},
    _goal_cell,
    covers=("targeted", "target"),
    rank=lambda value: value != "untargeted",
)
SETTING = Column("setting", "goal", words.goal, covers=("targeted",), rank=GOAL.rank)
VICTIM = Column("model", "victim", show=_victim_cell, covers=("checkpoint",), among=_victim_values)
DEFENSE = Column("defense", "defense", lambda run: run.defense)
SIGMA = Column(
    "sigma", "σ {length}", lambda run: run.of_defense.get("sigma"), number_cell("g"), covers=("defense.sigma",)
)
DRAWS = Column(
    "draws",
    "draws",
    lambda run: run.of_defense.get("draws") if run.randomised else 1,
    number_cell(".0f"),
    covers=("defense.draws",),
)
TAPS = Column("taps", "", lambda run: run.of_defense.get("taps"))
ATTACK_NAME = Column("attack", "attack", lambda run: run.attack)
BETA = Column(
    "beta",
    "β",
    _attack_setting("beta"),
    number_cell("g"),
    "β: the weight of the attack's penalty on violated constraints.",
    covers=("attack.beta",),
)
EPS = Column(
    "eps",
    "",
    lambda run: {"norm": run.of_attack.get("norm"), "eps": run.of_attack.get("eps")},
    covers=("attack.norm", "attack.eps"),
)
# One visible column: the attack with its beta or its budget.
METHOD = (replace(ATTACK_NAME, show=_method_cell), replace(BETA, head=""), EPS)
KEEP = Column(
    "keep",
    "step returned",
    _attack_setting("keep"),
    note="Step returned: the attack returns its last step or its best (the least violation among those that fool the "
    "victim); the paper's text and released code return the last.",
    covers=("attack.keep",),
)
SAVED_FROM = Column(
    "saved_from",
    "clips of",
    lambda run: words.origin_name(run),
    note="Clips of: the attack whose saved clips a run projects on its limits, or only judges.",
    covers=("attack.path",),
)
LIMITS = Column(
    "limits",
    "limits",
    lambda run: words.limits_name(run),
    note="Limits: the threat model or the constraints that judge the clips, and that feasible attacks obey.",
    covers=("constraint", "attack.constraints"),
)
ACCESS = Column(
    "access",
    "access",
    lambda run: run.access,
    note="Access is what an attack sees of its victim: all (white box), scores, labels, or none. In transfer, clips "
    "are made on another network, or, for comparison, on the victim itself. An oblivious attack does not know the "
    "defense, an adaptive one does.",
    covers=("adaptive",),
)


def _network(key: str, head: str, role: str, covers: tuple[str, ...]) -> Column:
    return Column(
        key,
        head,
        among=lambda runs: words.network_names(runs, noise=True).get(role, lambda run: ""),
        note="In the names of networks, s0 and s1 are seeds of the training, and σ is the noise of the training.",
        covers=covers,
    )


SOURCE = _network("source", "made on", "surrogate", ("surrogate_checkpoint",))
TARGET = _network("target", "judged by", "model", ("checkpoint",))
SURROGATE = replace(SOURCE, among=lambda runs: _surrogates(runs))


def _surrogates(runs: Sequence[Run]) -> Value:
    """The network that an attack is made on, if it is not the victim."""
    names = words.network_names(runs, noise=True)
    return lambda run: names["surrogate"](run) if run.surrogate else ""


# Measured columns.

CLIPS = Column(
    "clips",
    "clips",
    lambda run: {"clips": run.done, "test_clips": run.total},
    lambda row, key: f"{row[key]:.0f} of {row['test_clips']:.0f}" if has(row, key) and has(row, "test_clips") else "",
    once=True,
)


def _rate_column(key: str, head: str, column: str, note: str = "", **more: Any) -> Column:
    options = {name: more.pop(name) for name in ("right_only", "feasible") if name in more}
    return Column(key, head, lambda run: stats.attack_rate(run, column, **options), rate_cell, note, **more)


FEASIBLE_NOTE = "Feasible: every joint satisfies every constraint in every frame."
RIGHT_NOTE = "Correct before: only clips that the victim classifies correctly before the attack count."
CLEAN = Column("clean_accuracy", "clean accuracy", stats.clean_accuracy, rate_cell, always=True, once=True)


def _success_note(runs: Sequence[Run]) -> str:
    note = "Success is measured on all clips, as in the paper; targeted runs leave out clips whose label is the target."
    poor = any(not run.targeted and stats.clean_accuracy(run).value < 0.5 for run in runs)
    more = (
        "The victim misclassifies most of these clips without any attack, and they count as success: read the success "
        "on clips that are correct before."
    )
    return f"{note} {more}" if poor else note


SUCCESS = replace(_rate_column("success", "success", "success_share", always=True), note=_success_note)
SUCCESS_IF_RIGHT = _rate_column(
    "success_if_right", "success if correct before", "success_share", RIGHT_NOTE, right_only=True, always=True
)
FEASIBLE = _rate_column("feasible_success", "feasible success", "success_share", FEASIBLE_NOTE, feasible=True)
FEASIBLE_IF_RIGHT = _rate_column(
    "feasible_success_if_right",
    "feasible success if correct before",
    "success_share",
    f"{RIGHT_NOTE} {FEASIBLE_NOTE}",
    right_only=True,
    feasible=True,
    always=True,
)
ACCURACY = _rate_column(
    "adv_accuracy",
    "accuracy",
    "adv_share",
    "Accuracy is that of the defended victim under attack; clean accuracy is the same on clean clips.",
    always=True,
)
FOUND = _rate_column(
    "found",
    "success on the surrogate",
    "found",
    "Success on the surrogate: what the attack reports for the network that it was made on.",
)
NOISE = _rate_column(
    "noise_success",
    "noise of the same ℓ2",
    "control_share",
    "Noise of the same ℓ2: success of Gaussian noise that has the ℓ2 of each adversarial clip.",
)
L2 = Column("l2", "ℓ2 {length}", lambda run: stats.measure(run, "l2"), number_cell())
RMS = Column(
    "rms_mm",
    "rms {small}",
    lambda run: stats.measure(run, "rms_mm"),
    number_cell(".2f"),
    "Rms: ℓ2 as the root mean square per joint and frame.",
)


FORWARDS = Column("forwards", "forward passes", partial(stats.measure, column="forwards"), number_cell(".0f"))
GRADIENTS = Column("gradients", "gradients", partial(stats.measure, column="gradients"), number_cell(".0f"))


def _kinetic_note(runs: Sequence[Run]) -> str:
    """What ΔK/K is, and the number of clips without motion, each counted once."""
    import numpy as np

    clips = {
        (run.prepared, int(clip))
        for run in runs
        for clip in run.array("index")[run.measured & np.isnan(run.array("kinetic"))]
    }
    without = f" Clips without motion, left out of ΔK/K: {len(clips)}." if clips else ""
    return f"ΔK/K: relative change of the kinetic energy, mean over clips.{without}"


KINETIC = Column(
    "kinetic",
    "ΔK/K %",
    lambda run: stats.measure(run, "kinetic"),
    number_cell(".2f", 100),
    lambda runs: _kinetic_note(runs),
)
TRUE_ANGLE = Column(
    "true_angle",
    "true angle rad",
    lambda run: stats.measure(run, "true_angle_mean"),
    number_cell(),
    "True angle: mean change of the angle itself, not of the paper's estimate.",
)
UNIT_FORMATS = {"share": (" %", ".2f", 100.0), "rad": (" rad", ".3f", 1.0)}  # how a constraint's unit is written
CONSTRAINT_NOTE = (
    "Changes of constrained quantities are means over the entries of a clip, then over clips. Max: the maximum within "
    "a clip, as its mean / median over clips."
)


def _constraint_format(name: str, scope: Scope) -> tuple[str, str, float]:
    """The heading, number format and factor of a constraint's columns."""
    symbol, unit = (scope.constraints[name][key] for key in ("symbol", "unit"))
    length = scope.unit.length if unit == "m" else unit  # lengths are in the clips' unit
    suffix, form, factor = UNIT_FORMATS.get(unit, (f" {length}" if length else "", ".3f", 1.0))
    return symbol + suffix, form, factor


def _mean_column(name: str, scope: Scope) -> Column:
    head, form, factor = _constraint_format(name, scope)
    remark = scope.constraints[name].get("remark", "")
    return Column(
        name,
        head,
        lambda run: _constraint_measure(run, name, "mean"),
        number_cell(form, factor),
        f"{CONSTRAINT_NOTE} {remark}".strip(),
    )


def _constraint_measure(run: Run, name: str, what: str) -> Any:
    """A measure of a constraint; nothing for a run without this constraint."""
    if name not in run.constraints:
        return {}
    return stats.maximum(run, f"{name}_max") if what == "max" else stats.measure(run, f"{name}_{what}")


def CONSTRAINT_MEANS(scope: Scope) -> list[Column]:  # noqa: N802
    """The mean change of each constrained quantity."""
    return [_mean_column(name, scope) for name in scope.constraints]


def CONSTRAINT_COLUMNS(scope: Scope) -> list[Column]:  # noqa: N802
    """For each constraint the paper's cell, our mean, our maximum, and (in the CSV) how often it is satisfied."""
    found = []
    for name in scope.constraints:
        head, form, factor = _constraint_format(name, scope)
        found += [
            Column(f"paper_{name}", f"{head}: paper", show=number_cell(form, factor)),
            _mean_column(name, scope),
            Column(
                f"{name}_max",
                f"{head} max",
                partial(_constraint_measure, name=name, what="max"),
                spread_cell(factor),
                CONSTRAINT_NOTE,
            ),
            Column(f"{name}_ok", "", partial(_constraint_measure, name=name, what="ok")),
        ]
    return found


def ATTACK_COLUMNS(scope: Scope) -> list[Column]:  # noqa: N802
    """The mean of each column that attacks add."""

    def value(name: str) -> Value:
        return lambda run: stats.measure(run, name) if name in run.columns else {}

    return [Column(name, name.replace("_", " "), value(name), number_cell(".4g")) for name in scope.added]


PAPER_SUCCESS = Column(
    "paper_success",
    "success: paper",
    show=lambda row, key: text_cell(row, "paper_note") or number_cell(".1f", 100)(row, key),
)
PAPER_ACCURACY = Column("paper_accuracy", "accuracy: paper", show=number_cell(".1f", 100))
PAPER_KINETIC = Column("paper_kinetic", "ΔK/K %: paper", show=number_cell(".2f", 100))
PAPER_L2 = Column("paper_l2", "ℓ2 {length}: paper", show=number_cell())
CSV_COLUMNS: tuple[Item, ...] = (  # in the CSV of every table of attacks
    *(CLEAN, ACCURACY, FOUND, SUCCESS, NOISE, SUCCESS_IF_RIGHT, FEASIBLE, FEASIBLE_IF_RIGHT, CONSTRAINT_COLUMNS),
    TRUE_ANGLE,
    Column("true_angle_max", "", lambda run: stats.maximum(run, "true_angle_max")),
    *(KINETIC, L2),
    Column("linf", "", partial(stats.measure, column="linf")),
    RMS,
    Column("without_motion", "", stats.without_motion),
    *(Column(name, "", partial(stats.measure, column=name)) for name in ("feasible", "forwards", "gradients")),
    Column("conf", "", _attack_setting("conf")),
    Column("num_frames", "", lambda run: run.num_frames),
    TAPS,
    ATTACK_COLUMNS,
)

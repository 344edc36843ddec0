"""What the tables have in common: the paper's cells, titles, and how numbers are written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.report.stats import Described, Rate, Run, rates

PAPER = Path(__file__).parent / "paper"
PAPER_MODELS = {"hcn": "hcn", "hcn_pytorch": "hcn", "agcn": "2s-agcn", "agcn_small": "2s-agcn"}
PAPER_SETS = {"ntu60_cv": "CV", "ntu60_cs": "CS", "synthetic_cv": "CV"}  # others stand beside CS
IMAGE_SETS = ("kinetics", "synthetic_kinetics")  # joints in an image, without depth
ADMM = ("admm", "admm_released")


class Table(Protocol):
    """One of the paper's tables, for any dataset."""

    @property
    def name(self) -> str: ...
    @property
    def swept(self) -> tuple[str, ...]: ...  # the options that its experiment sweeps
    def fits(self, dataset: str) -> bool: ...  # whether it is of such a dataset
    def belongs(self, run: Run) -> bool: ...  # whether a run is one of its own
    def rows(self, runs: Sequence[Run]) -> pd.DataFrame: ...  # its numbers
    def readable(self, frame: pd.DataFrame) -> pd.DataFrame: ...  # as people read them
    def title(self, runs: Sequence[Run]) -> str: ...
    def notes(self, runs: Sequence[Run]) -> str: ...
    def whole(self, runs: Sequence[Run]) -> bool: ...  # these runs are all that its experiment makes


def unit(runs: Sequence[Described]) -> str:
    """The unit of lengths on these runs' dataset."""
    return "shares of the image" if runs[0].about["dataset"] in IMAGE_SETS else "m"


def where(runs: Sequence[Described]) -> str:
    """On which data, in which space and shape, as the title of a table has it."""
    about = runs[0].about
    image = about["dataset"] in IMAGE_SETS
    original = "Kinetics" if image else "NTU RGB+D"
    stand_in = f", a stand-in for the paper's {original}" if about["stand_in"] else ""
    spaces = sorted({run.about["settings"].get("dataset", {}).get("space", "camera") for run in runs})
    space = "normalised image coordinates" if image else f"{' or '.join(spaces)} space, metres"
    shapes: dict[str, set[str]] = {}
    for run in runs:
        shape = f"T={run.about['num_frames']}, {run.about['num_classes']} classes"
        shapes.setdefault(run.about["choices"]["model"], set()).add(shape)
    alike = len(set().union(*shapes.values())) == 1
    words = [
        " or ".join(sorted(shape)) if alike else f"{name}: {' or '.join(sorted(shape))}"
        for name, shape in sorted(shapes.items())
    ]
    attacks = [run.about["settings"].get("attack", {}) for run in runs]
    conf = "/".join(f"{value:g}" for value in sorted({attack["conf"] for attack in attacks if "conf" in attack}))
    inside = "; ".join([space, *dict.fromkeys(words), *([f"confidence {conf}"] if conf else [])])
    return f"on {about['dataset']}{stand_in} ({inside})"


def about_victims(runs: Sequence[Run]) -> str:
    """What a reader must know of the victims and of the paper's."""
    split = {"CS": "NTU RGB+D, cross-subject", "CV": "NTU RGB+D, cross-view"}.get(paper_split(runs), "Kinetics")
    text = f"Paper: Zheng et al. on {split}. "
    names = {run.about["choices"].get(group) for run in runs for group in ("model", "model@surrogate")}
    if "agcn_small" in names:
        text += "agcn_small: 2s-AGCN with a quarter of its channels (16, 32, 64); the paper's is the full one. "
    if any(run.about.get("trained_here") is False for run in runs):
        text += "Some of these victims were trained on other data than this. "
    return text + "Rates are percentages with 95 % Wilson intervals and counts. "


def lengths(frame: pd.DataFrame) -> tuple[str, str]:
    """What the columns of l2 and of its rms a joint and frame are called, with the unit of a table's clips."""
    return ("ℓ2", "rms ‰") if frame["dataset"][0] in IMAGE_SETS else ("ℓ2 m", "rms mm")


def paper_split(runs: Sequence[Described]) -> str:
    """Which of the paper's experiments these runs' dataset stands beside."""
    dataset = runs[0].about["dataset"]
    return "Kinetics" if dataset in IMAGE_SETS else PAPER_SETS.get(dataset, "CS")


def setting(run: Run) -> str:
    """Whether a run's attack had a target, in a word."""
    return "targeted" if run.about["settings"]["targeted"] else "untargeted"


def victim(run: Described) -> str:
    """The network that is judged, with its defense."""
    choices = run.about["choices"]
    return str(choices["model"]) + ("" if choices["defense"] == "none" else f" behind {choices['defense']}")


def training(run: Run) -> dict[str, Any]:
    """Seed and noise of the training of a run's victim, as columns of a row; None if nobody knows."""
    return {"seed": run.about.get("seeds", {}).get("model"), "trained_noise": run.about.get("trained_noise")}


def network(row: pd.Series) -> str:
    """A row's network as people read it, with what is unusual in its ``training``: another seed than 0, noise."""
    seed, noise = (value if pd.notna(value) else 0 for value in (row.get("seed"), row.get("trained_noise")))
    return str(row["model"]) + (f" s{seed:g}" if seed else "") + (f", trained with σ={noise:g}" if noise else "")


def means(run: Run) -> str:
    """The attack by its name, and by its beta or its budget."""
    attack = run.attack
    words = str(run.about["choices"]["attack"]) + (f" β={attack['beta']:g}" if "beta" in attack else "")
    return words + (f" {attack['norm']} ε={attack['eps']:g}" if {"eps", "norm"} <= attack.keys() else "")


def deed(run: Run, target: str = "") -> str:
    """What was done to whom, in words: attack, goal, the network it was made on, and what judged it."""
    choices, words = run.about["choices"], means(run)
    goal = run.about["settings"]["target"] or ""
    words += f", {setting(run)}" + (f" ({target or goal})" if target or goal else "")
    surrogate = choices.get("model@surrogate")
    if surrogate:
        return f"{words}, made on {surrogate}, judged by {victim(run)}"
    return f"{words}, on {victim(run)}" + (" (attack unaware of it)" if unaware(run) else "")


def unaware(run: Run) -> bool:
    """Whether an attack was made on the undefended network of the defended one that judges it."""
    return run.about["choices"]["defense"] != "none" and not run.about["settings"].get("adaptive", True)


def rate_columns(run: Run) -> dict[str, Any]:
    """Every rate of a run with its count and interval, as columns of a row."""
    row: dict[str, Any] = {}
    for name, rate in rates(run).items():
        row |= columns_of(name, rate)
    return row


def columns_of(name: str, rate: Rate) -> dict[str, Any]:
    """A rate with its count and interval, as columns of a row."""
    low, high = rate.interval
    ends = {f"{name}_low": low, f"{name}_high": high}
    return {name: rate.value, f"{name}_hits": rate.hits, f"{name}_clips": rate.count, **ends}


def to_be_shown(run: Run) -> bool:
    """Whether a run is a few clips that were made for film strips: no table's."""
    return str(run.about["choices"].get("experiment")) == "films"


def one_dataset(heading: str, runs: Sequence[Run]) -> None:
    """Raise ``RunError`` if a table's runs are of several datasets."""
    if len({run.about["dataset"] for run in runs}) > 1:
        raise RunError(f"{heading} is of one dataset; these runs are of several")


def show(rate: Rate) -> str:
    """A rate as people read it: percent, its interval, and its count."""
    low, high = rate.interval
    return f"{100 * rate.value:.1f} [{100 * low:.1f}, {100 * high:.1f}] ({tally(rate.hits)}/{rate.count})"


def tally(hits: float) -> str:
    """A count, or the sum of shares of judgements that stands for one."""
    return f"{hits:.0f}" if float(hits).is_integer() else f"{hits:.1f}"


def interval(row: pd.Series, name: str) -> str:
    """A rate among ``rate_columns``, as ``show`` has it."""
    return show(Rate(row[f"{name}_hits"], int(row[f"{name}_clips"])))


def percent(row: pd.Series, name: str) -> str:
    return number(row, name, ".2f", 100)


def number(row: pd.Series, name: str, form: str = ".3f", factor: float = 1) -> str:
    return format(factor * row[name], form) if name in row and pd.notna(row[name]) else ""


def maxima(row: pd.Series, name: str, factor: float = 1) -> str:
    mean, median = (factor * row[f"{name}_max_{kind}"] for kind in ("mean", "median"))
    return f"{mean:.3g} / {median:.3g}"

"""Runs as text: their data, their attacks and their networks."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skeleton_adv.runs.load import Run

PLAIN = ("none", "unknown")  # trainings that need no mention
BY_SIGMA = (*PLAIN, "noise", "mixed")  # trainings with noise that its strength describes


@dataclass(frozen=True)
class Unit:
    """How lengths are written: the unit, a thousandth of it, its name, and the space."""

    length: str
    small: str
    name: str
    space: str


UNITS = {
    "m": Unit("m", "mm", "m", "space, metres"),
    "image": Unit("", "‰", "fractions of the image", "normalised image coordinates"),
}


def unit_of(runs: Sequence[Run]) -> Unit:
    """The unit of lengths of these runs of one dataset."""
    name = runs[0].unit
    return UNITS.get(name, Unit(name, f"{name}/1000", name, f"space, {name}"))


def data_summary(runs: Sequence[Run]) -> str:
    """The data of these runs with its space and shape, for the title of a table."""
    run = runs[0]
    paper = f" for the paper's {run.stands_for.partition(',')[0]}" if run.stands_for else ""
    stand_in = f", a stand-in{paper}" if run.stand_in else ""
    space = unit_of(runs).space
    space = f"{' or '.join(sorted({one.space for one in runs}))} {space}" if space.startswith("space") else space
    shapes: dict[str, set[str]] = {}
    for one in runs:
        shapes.setdefault(one.victim, set()).add(f"T={one.num_frames} frames, {one.num_classes} classes")
    alike = len(set().union(*shapes.values())) == 1
    words = [
        " or ".join(sorted(shape)) if alike else f"{name}: {' or '.join(sorted(shape))}"
        for name, shape in sorted(shapes.items())
    ]
    conf = "/".join(sorted({_number(one.of_attack["conf"]) for one in runs if "conf" in one.of_attack}, key=_size))
    conf = conf if run.kind == "attack" else ""
    inside = "; ".join([space, *dict.fromkeys(words), *([f"attack confidence {conf}"] if conf else [])])
    return f"on {run.dataset}{stand_in} ({inside})"


def goal(run: Run) -> str:
    """Whether a run's attack has a target: targeted or untargeted."""
    return "targeted" if run.targeted else "untargeted"


def clip_count(runs: Sequence[Run]) -> str:
    """How many clips these runs have each."""
    return f"{' or '.join(str(count) for count in sorted({len(run.records) for run in runs}))} clips"


def clips_attacked(run: Run) -> str:
    """How many clips a run attacks; in a targeted run, those whose label is the target need no attack."""
    aimed, total = int(run.aimed.sum()), len(run.records)
    return f"{total} clips" if aimed == total else f"{aimed} of {total} clips (the label of the others is the target)"


def class_name(run: Run, number: int) -> str:
    """The name of a class of a run's dataset; its number if the run does not list names, and "none" for -1."""
    if number < 0:
        return "none"
    return str(run.classes[number]).replace("_", " ") if number < len(run.classes) else str(number)


def victim_name(run: Run) -> str:
    """The victim, with its defense."""
    return run.victim + (f" behind {run.defense}" if run.defense else "")


def attack_name(run: Run) -> str:
    """The attack's name with its beta or its budget."""
    return _method_name(run.attack, run.of_attack)


def _method_name(name: str, attack: Mapping[str, Any]) -> str:
    text = name + (f" β={_number(attack['beta'])}" if "beta" in attack else "")
    bounded = "norm" in attack and attack.get("eps") is not None
    return text + (f" {attack['norm']} ε={_number(attack['eps'])}" if bounded else "")


def origin_name(run: Run) -> str:
    """The attack whose saved clips a run uses, with its beta or its budget, and the network if it is another one."""
    if run.origin is None:
        return ""
    name = _method_name(str(run.origin["attack"]), run.origin["settings"])
    return name if run.origin.get("weights") == run.weights else f"{name} on {run.origin.get('attacked')}"


def limits_name(run: Run) -> str:
    """The threat model of a run, or its constraints, with a speed floor or reading that is not the default."""
    own = run.settings.get("constraint")
    speed = own.get("speed", {}) if isinstance(own, Mapping) else {}
    floor, reading = speed.get("floor"), speed.get("reading")
    more = [f"floor {_number(floor)} m/s"] if floor else []
    more += ["reading velocity"] if reading == "velocity" else []
    return ", ".join([run.threat or str(run.choices.get("constraint", "")), *more])


def _size(number: str) -> tuple[bool, float, str]:
    """What settings are sorted by: numbers by their size, then texts."""
    try:
        return False, float(number), ""
    except ValueError:
        return True, 0.0, number


def _number(value: Any) -> str:
    """A setting as text; an attack from outside the package may use any value."""
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def attack_summary(run: Run, target: str = "") -> str:
    """The attack, its goal, the network that it was made on, and the victim."""
    aim = target or run.target or ""
    text = f"{attack_name(run)}, {goal(run)}" + (f" ({aim})" if aim else "")
    if run.surrogate:
        return f"{text}, made on {run.surrogate}, judged by {victim_name(run)}"
    return f"{text}, on {victim_name(run)}" + (" (oblivious attack)" if run.access == "oblivious" else "")


def training_summary(run: Run) -> str:
    """How a victim was trained beyond its recipe: with noise, or by a method with its settings; empty if plainly."""
    return _training_summary(run.training, run.trained_noise)


def surrogate_training_summary(run: Run) -> str:
    """The same for a surrogate."""
    return _training_summary(run.surrogate_training, run.surrogate_noise)


def _training_summary(training: Mapping[str, Any], noise: float | None) -> str:
    if noise:
        method = "" if training.get("name", "noise") in BY_SIGMA else f" by {training['name']}"
        return f"trained{method} with σ={noise:g}" + (f" on {training['space']}" if "space" in training else "")
    name = training.get("name", "none")
    # Settings in a mapping are not shown: the name of such a training contains those that are not the defaults.
    shown = {key: value for key, value in training.items() if key != "name" and not isinstance(value, dict)}
    more = " ".join(f"{key}={value}" for key, value in shown.items())
    return "" if name in PLAIN else f"trained by {name} {more}".strip()


def network_names(runs: Sequence[Run], noise: bool = False) -> dict[str, Callable[[Run], str]]:
    """The names of each run's surrogate and victim, with a digest if several networks have one name.

    ``noise``: whether the noise of the training belongs to the name.
    """

    def named(run: Run, role: str) -> tuple[str, Any, str]:
        model = {"model": run.victim, "surrogate": run.surrogate}[role]
        digest = {"model": run.weights, "surrogate": run.surrogate_weights}[role]
        sigma = {"model": run.trained_noise, "surrogate": run.surrogate_noise}[role]
        how = {"model": run.training, "surrogate": run.surrogate_training}[role].get("name", "noise")
        unnamed = sigma and how in BY_SIGMA
        method = "" if unnamed else {"model": training_summary, "surrogate": surrogate_training_summary}[role](run)
        seed = run.seeds.get(role)
        name = f"{model}" + ("" if seed is None else f" s{seed}") + (f", σ={sigma:g}" if noise and sigma else "")
        name += f", {method}" if method else ""
        return name, (None if noise else sigma), str(digest)

    roles = ("model", "surrogate") if any(run.surrogate for run in runs) else ("model",)
    often = Counter(one[:2] for one in {named(run, role) for run in runs for role in roles})

    def called(role: str) -> Callable[[Run], str]:
        def name(run: Run) -> str:
            one = named(run, role)
            return f"{one[0]} ({one[2][:8]})" if often[one[:2]] > 1 else one[0]

        return name

    return {role: called(role) for role in roles}

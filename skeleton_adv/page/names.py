"""Names of attacks on the page: budgets with their unit, and what distinguishes runs that would be called alike."""

from collections import defaultdict
from collections.abc import Hashable, Sequence

from skeleton_adv.report.differences import differences
from skeleton_adv.report.words import unit_of
from skeleton_adv.runs.load import Run

LENGTHS = ("l2", "linf")  # norms whose budget is a length
SHOWN = ("attack.beta", "attack.norm", "attack.eps", "checkpoint", "surrogate_checkpoint")  # in the name or the victim


def with_unit(run: Run, text: str) -> str:
    """A text with the name of a run's attack, whose budget gets its unit."""
    eps, length = run.of_attack.get("eps"), unit_of([run]).length
    if not isinstance(eps, int | float) or run.of_attack.get("norm") not in LENGTHS or not length:
        return text
    budget = f"ε={eps:g}"
    return text.replace(budget, f"{budget} {length}", 1)


def apart(runs: Sequence[Run], keys: Sequence[Hashable]) -> list[str]:
    """For each run the settings that distinguish it from the runs with the same key; empty if there are none."""
    groups: dict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        groups[key].append(place)
    found = [""] * len(runs)
    for places in groups.values():
        if len(places) == 1:
            continue
        texts = [plain(text) for text in differences([runs[place] for place in places], SHOWN)]
        for place, text in zip(places, texts, strict=True):
            run = runs[place]
            own = [text] if text and texts.count(text) == 1 else [text, f"run {run.identity}"]
            found[place] = ", ".join(filter(None, own))
    return found


PLAIN = {"surrogate_checkpoint": "its weights", "checkpoint": "weights", "dataset.num_frames": "frames"}


def plain(text: str) -> str:
    """Settings by the words of the page, without the part that says that they belong to the attack."""
    parts = [part.removeprefix("attack.").partition("=") for part in text.split(", ")]
    return ", ".join(PLAIN.get(key, key) + equals + value for key, equals, value in parts)

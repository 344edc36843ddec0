"""Runs -> the page, one HTML file."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import skeleton_adv
from skeleton_adv.command.options import CONF, title
from skeleton_adv.core.files import write_whole
from skeleton_adv.page.board import attacks, certificates, victims
from skeleton_adv.page.clips import Shown, choose, of_runs, part_of
from skeleton_adv.page.curves import charts
from skeleton_adv.page.facts import facts, rows
from skeleton_adv.page.html import document
from skeleton_adv.page.pack import pack
from skeleton_adv.page.tables import tables
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from torch import nn

CLIPS = 50  # of the player, unless another number is given
NAME = "index.html"


@dataclass(frozen=True)
class Content:
    """What a page shows.

    - ``runs``: finished runs
    - ``clips``: how many of their saved clips
    - ``own``: a user's own clips
    - ``reported``: rows of others
    - ``victim``: the network of a run, or why there is none; None: from weights with the run's digest
    """

    runs: Sequence[Run]
    clips: int = CLIPS
    own: Sequence[Shown] = ()
    reported: Sequence[dict[str, Any]] = ()
    victim: "Callable[[Run], nn.Module | str] | None" = None
    title: str = "skeleton_adv"


def write_page(content: Content, out: Path) -> Path:
    """Write ``out/index.html``; return its path."""
    return write_whole(out / NAME, page(content))


def page(content: Content) -> str:
    """The page as HTML."""
    runs = list(content.runs)
    shown = [*of_runs(choose(runs, content.clips)), *content.own]
    parts = {"tables": pack({"tables": tables(runs)}), "facts": pack({"runs": facts(runs)}), "rows": pack(*rows(runs))}
    parts["charts"] = pack({"charts": charts(runs)})
    listed = []
    for place, clip in enumerate(shown):
        header, arrays = part_of(clip, content.victim or _victim(), f"clip-{place}")
        parts[header["id"]] = pack(header, arrays)
        listed.append({key: header[key] for key in LISTED if key in header})
    core = {
        "version": skeleton_adv.__version__,
        "attacks": [*attacks(runs), *content.reported],
        "victims": victims(runs),
        "certificates": certificates(runs),
        "clips": listed,
        "datasets": _datasets(runs),
        "threats": _threats(),
        "runs": len(runs),
    }
    return document(content.title, core, parts)


LISTED = (
    "id",
    "name",
    "run",
    "dataset",
    "attack",
    "label",
    "clean_pred",
    "adv_pred",
    "success",
    "feasible",
    "rms",
    "attacked",
    "changed",
)


def _victim() -> "Callable[[Run], nn.Module | str]":
    from skeleton_adv.page.victims import victim_of

    return victim_of


def _datasets(runs: Sequence[Run]) -> list[dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for run in runs:
        one = found.setdefault(
            run.dataset, {"name": run.dataset, "stands_for": run.stands_for, "stand_in": run.stand_in}
        )
        one["runs"] = one.get("runs", 0) + 1
    return [found[name] for name in sorted(found)]


def _threats() -> dict[str, str]:
    """The title of each threat model."""
    return {path.stem: title(path) for path in sorted((CONF / "threat").glob("*.yaml"))}


def warn_of_clips(content: Content) -> None:
    """Say on the error stream whose clips a page contains, since a dataset's terms may forbid to pass them on."""
    chosen = choose(list(content.runs), content.clips)
    if chosen:
        names = ", ".join(sorted({run.dataset for run, _ in chosen}))
        print(
            f"the page contains {len(chosen)} clips of {names}: read the terms of the data before you pass it on, or "
            "leave the clips out with --clips 0",
            file=sys.stderr,
        )

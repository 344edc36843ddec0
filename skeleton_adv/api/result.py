"""What ``sa.attack`` and ``sa.certify`` return."""

import shutil
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from skeleton_adv.api.clips import Clips
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.report import show, stats
from skeleton_adv.report.certificates import certified_accuracy
from skeleton_adv.report.clips_to_draw import skeleton_of
from skeleton_adv.report.columns import format_rate
from skeleton_adv.report.export import WRITERS, Format, export
from skeleton_adv.report.stats import Rate, rate
from skeleton_adv.runs.clips import SavedClips, read_row
from skeleton_adv.runs.load import Run

if TYPE_CHECKING:
    from skeleton_adv.api.victim import Victim


@dataclass(frozen=True, eq=False)
class _Finished:
    """A finished run with its clips; the folder is temporary unless the caller named one."""

    run: Run
    clips: Clips = field(repr=False)
    temporary: Path | None = field(default=None, repr=False)  # deleted with this object

    def __post_init__(self) -> None:
        if self.temporary is not None:
            weakref.finalize(self, shutil.rmtree, self.temporary, ignore_errors=True)

    @property
    def records(self) -> pd.DataFrame:
        """One row per clip, in the order of the clips, with the columns of ``records.csv``."""
        return self.run.records

    @property
    def names(self) -> list[str]:
        return list(self.run.records["name"])

    def table(self) -> str:
        """The result as the command line prints it: counts, intervals, what the columns mean, and warnings."""
        return show.new_runs([self.run])

    def save(self, folder: str | Path) -> Path:
        """Copy the run into ``folder``, which ``python -m skeleton_adv.tables FOLDER`` then shows.

        Raises ``RunError`` if the folder already contains something else.
        """
        assert self.run.folder is not None
        return _copied(self.run.folder, Path(folder), self.run.identity)

    def __len__(self) -> int:
        return len(self.run.records)

    def page(self, out: str | Path = "page", *, clips: int = 50, victim: "Victim | None" = None) -> Path:
        """Write ``out/index.html``, which opens anywhere: the numbers, ``clips`` to play, curves; return its path.

        ``victim``: whose probabilities the player shows over time. None: a victim with the weights of this program.
        """
        return _page([self.run], Path(out), clips, victim)


class Result(_Finished):
    """An attack on clips. Arrays have the order, the layout and the unit of the clips; lengths are in metres."""

    @cached_property
    def x_adv(self) -> np.ndarray:
        """The adversarial clips, with the victim's number of frames."""
        return self.clips.returned(self._saved("x_adv"), self._saved("mask"))

    @cached_property
    def x(self) -> np.ndarray:
        """The clean clips that ``x_adv`` was made from."""
        return self.clips.returned(self._saved("x"), self._saved("mask"))

    @cached_property
    def mask(self) -> np.ndarray:
        """Which joints exist, (N, T, V) or (N, T, V, M)."""
        return self.clips.returned_mask(self._saved("mask"))

    @property
    def success(self) -> np.ndarray:
        """(N,) bool: whether the clip fools the victim. Clips that were wrong before the attack count too."""
        return self.run.array("success").astype(bool)

    @property
    def feasible(self) -> np.ndarray:
        """(N,) bool: whether every joint satisfies every constraint in every frame."""
        return self.run.array("feasible").astype(bool)

    @property
    def l2(self) -> np.ndarray:
        """(N,) norm of the perturbation over the whole clip, metres (in an image: fractions of it)."""
        return self.run.array("l2")

    @property
    def violations(self) -> pd.DataFrame:
        """For each clip and constraint, the mean and maximum change, and whether the constraint is satisfied."""
        names = [f"{name}_{part}" for name in self.run.constraints for part in ("mean", "max", "ok")]
        return self.run.records[names]

    @property
    def clean_accuracy(self) -> Rate:
        """The victim's accuracy on the clean clips, with its count and 95 % Wilson interval."""
        return stats.clean_accuracy(self.run)

    @property
    def robust_accuracy(self) -> Rate:
        """The victim's accuracy on the adversarial clips, with its count and 95 % Wilson interval."""
        return stats.attack_rate(self.run, "adv_share")

    @property
    def success_rate(self) -> Rate:
        """Of the clips that were correct before, the share that fools the victim, with count and 95 % interval."""
        return stats.attack_rate(self.run, "success_share", right_only=True)

    def export(self, path: str | Path, format: Format = "npz") -> Path:
        """Write the adversarial clips as ``npz``, ``ctrgcn`` or ``pyskl``, like ``python -m skeleton_adv.export``."""
        if format not in WRITERS:
            raise SettingError(f"format={format!r} is not known: {nearest(str(format), [*WRITERS])}")
        return export(self.run, format, Path(path))[0]

    def __repr__(self) -> str:
        rates = (
            f"accuracy {format_rate(self.clean_accuracy)} % clean, {format_rate(self.robust_accuracy)} % under attack"
        )
        return f"<{self.run.attack} on {self.run.victim}: {rates}>"

    def _saved(self, name: str) -> np.ndarray:
        assert self.run.folder is not None
        places = SavedClips(self.run.folder).locations(name)
        return np.stack([read_row(places[number], name) for number in self.run.records["index"]])


@dataclass(frozen=True, eq=False)
class Results(Sequence[Result]):
    """Attacks on the same clips, one per value of a setting."""

    results: tuple[Result, ...]
    swept: tuple[str, ...]  # the settings that have several values

    def __getitem__(self, place: Any) -> Any:
        return self.results[place]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    @property
    def has_curve(self) -> bool:
        """Whether the results differ in one setting of the attack, which is a number."""
        values = [result.run.of_attack.get(name) for result in self.results for name in self.swept]
        return len(self.swept) == 1 and all(type(value) in (int, float) for value in values)

    def table(self) -> str:
        """All results in one table, as the command line prints it."""
        return show.new_runs([result.run for result in self.results])

    def curve(self) -> pd.DataFrame:
        """The accuracy under attack at each value, with 95 % Wilson intervals, counts, and the clean accuracy."""
        rows = []
        for result in self.results:
            found = result.robust_accuracy
            low, high = found.interval
            row = {name: result.run.of_attack[name] for name in self.swept}
            row |= {"accuracy": found.value, "low": low, "high": high, "clips": found.count}
            rows.append(row | {"clean_accuracy": result.clean_accuracy.value})
        return pd.DataFrame(rows)

    def save(self, folder: str | Path) -> Path:
        """Copy each run into its own folder below ``folder``; raises ``RunError`` if ``folder`` contains anything."""
        _check_empty(Path(folder))
        for result in self.results:
            result.save(Path(folder) / result.run.identity)
        return Path(folder)

    def page(self, out: str | Path = "page", *, clips: int = 50, victim: "Victim | None" = None) -> Path:
        """Write ``out/index.html`` with all results; see ``Result.page``."""
        return _page([result.run for result in self.results], Path(out), clips, victim)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self.results))


class Certificates(_Finished):
    """Certificates of clips, in the order of the clips; radii in metres (in an image: fractions of it)."""

    @property
    def radius(self) -> np.ndarray:
        """(N,) certified l2 radius; 0 where the certificate abstains."""
        return self.run.array("radius")

    @property
    def pred(self) -> np.ndarray:
        """(N,) certified class; -1 where the certificate abstains."""
        return self.run.array("pred")

    @property
    def correct(self) -> np.ndarray:
        """(N,) bool: whether the certified class is the label."""
        return self.run.array("correct").astype(bool)

    @property
    def clean_accuracy(self) -> Rate:
        """Accuracy without noise, with its count and 95 % Wilson interval."""
        return rate(self.run.array("clean_correct"))

    def certified_accuracy(self, radius: float) -> Rate:
        """Share of clips that are certified as their true class with a radius of at least ``radius``.

        With ``smoothing.stop``, ``radius`` must be one of those radii; otherwise raises ``SettingError``.
        """
        if self.run.decided and radius not in self.run.decided:
            known = ", ".join(f"{one:g}" for one in self.run.decided)
            raise SettingError(f"radius={radius:g} was not decided: smoothing.stop has {known}")
        return certified_accuracy(self.run, radius)

    def __repr__(self) -> str:
        certified = format_rate(self.certified_accuracy(min(self.run.decided, default=0.0)))
        return f"<certificates of {self.run.victim}: {certified} % certified as their true class>"


def _page(runs: Sequence[Run], out: Path, clips: int, victim: "Victim | None") -> Path:
    from skeleton_adv.page.make import Content, write_page

    if type(clips) is not int or clips < 0:
        raise SettingError(f"clips={clips} must be a whole number of at least 0")
    given = None if victim is None else lambda run: victim._on(skeleton_of(run))
    return write_page(Content(runs, clips, victim=given), out)


def _check_empty(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "already contains files" if folder.is_dir() else "is a file"
        raise RunError(f"{folder} {what}: name a folder that does not exist yet")


def _copied(source: Path, target: Path, identity: str) -> Path:
    """A copy of a run's folder that appears whole or not at all."""
    _check_empty(target)
    part = target.with_name(f".{target.name}.{identity}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        shutil.copytree(source, part, ignore=shutil.ignore_patterns(".lock"))
        if target.exists():
            target.rmdir()
        part.replace(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return target

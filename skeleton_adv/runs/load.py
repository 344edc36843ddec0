"""Finished runs, read back: the typed content of ``run.json``, and one row per clip. Imports no torch."""

import gzip
import hashlib
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from skeleton_adv.core.errors import RunError
from skeleton_adv.core.files import read_json
from skeleton_adv.core.skeleton import Skeleton
from skeleton_adv.runs.identity import effective
from skeleton_adv.runs.legacy import completed
from skeleton_adv.runs.schema import KINDS, RowKind, constraint_columns
from skeleton_adv.runs.shards import Shard

READ_AS = {"int": "i", "float": "fi", "bool": "b", "text": "O"}  # numpy's type letters that a column may be read as
Facts = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its rows and the facts in its ``run.json``."""

    records: pd.DataFrame  # one row per clip, in the order of the dataset
    folder: Path | None
    kind: str  # kind of its rows: attack, certificate, detection, identification or gap
    identity: str
    dataset: str
    unit: str  # unit of lengths: m or image
    stand_in: bool  # whether the clips are a stand-in for the paper's
    stands_for: str | None  # the paper's data whose published values appear beside this run's; None: no values
    access: str  # the attack's access to the victim
    randomised: bool  # whether the victim draws noise
    training: Facts  # how the victim was trained: a name and its settings
    trained_noise: float | None  # sigma of the training noise; None if unknown
    surrogate_noise: float | None
    surrogate_training: Facts  # like ``training``; empty without a surrogate
    trained_here: bool | None  # whether the victim was trained on these prepared clips; None if unknown
    seeds: Mapping[str, int]
    experiment: str | None
    sweep: Facts | None  # the sweep that this run is a part of: params, jobs
    settings: Facts  # every setting that can change a number
    choices: Facts  # the option chosen in each group
    command: str
    done: int
    total: int
    num_frames: int
    num_classes: int
    classes: Sequence[str]
    skeleton: str
    columns: Mapping[str, str]
    constraints: Mapping[str, Mapping[str, str]]
    body: Facts | None = None  # the whole skeleton, unless ``skeleton`` names a known one
    fps: float | None = None  # of the recordings; None: an earlier version did not note it
    image_size: Sequence[float] | None = None  # width and height in pixels, if they are known
    minimises: str | None = None  # the norm that the attack minimises: l2, linf, rms or l0
    members: Sequence[str] = ()  # of a surrogate that is an ensemble: the names of their options
    origin: Facts | None = None  # the run whose saved clips the victim judges, if it does
    remarks: Sequence[str] = ()  # what a reader must know about the networks, one sentence each
    shard: Facts | None = None  # of which the rows are a part of the run: part, of, and the clips of all parts

    @property
    def victim(self) -> str:
        """The name of the victim's option."""
        return str(self.choices["model"])

    @property
    def surrogate(self) -> str | None:
        """The name of the surrogate's option, if the attack uses a surrogate."""
        name = self.choices.get("model@surrogate")
        return str(name) if name else None

    @property
    def attack(self) -> str:
        return str(self.choices["attack"])

    @property
    def threat(self) -> str | None:
        """The name of the threat model, if the run has one."""
        name = self.choices.get("threat")
        return str(name) if name else None

    @property
    def defense(self) -> str | None:
        name = str(self.choices["defense"])
        return None if name == "none" else name

    @property
    def targeted(self) -> bool:
        return bool(self.settings.get("targeted", False))

    @property
    def split(self) -> str:
        """The clips that are attacked: test or train."""
        return str(self.settings.get("split", "test"))

    @property
    def target(self) -> str | None:
        """The target class of a targeted attack, or how it is chosen."""
        return self.settings.get("target")

    @property
    def judgements(self) -> int:
        """How often the victim judges each clip."""
        return int(self.settings.get("judgements", 1))

    @property
    def space(self) -> str:
        """The space in which clips are attacked."""
        return str(self._part("dataset").get("space", "camera"))

    @property
    def prepared(self) -> str | None:
        """The digest of the prepared clips."""
        return self.settings.get("prepared")

    @property
    def weights(self) -> str | None:
        """The digest of the victim's weights."""
        return self.settings.get("checkpoint")

    @property
    def surrogate_weights(self) -> str | None:
        return self.settings.get("surrogate_checkpoint")

    @property
    def of_attack(self) -> Facts:
        """The settings of the attack."""
        return self._part("attack")

    @property
    def of_defense(self) -> Facts:
        return self._part("defense")

    @property
    def of_detector(self) -> Facts:
        """The settings of the detector."""
        return self._part("detector")

    @property
    def smoothing(self) -> Facts:
        """The settings of a certificate."""
        return self._part("smoothing")

    @property
    def noise_space(self) -> str:
        """What the noise of a certificate changes (``smoothing.space``)."""
        return str((self.settings.get("smoothing") or {}).get("space", "joints"))

    @property
    def trained_space(self) -> str | None:
        """What the noise of the victim's training changes; None if it was trained without noise."""
        return str(self.training.get("space", "joints")) if self.trained_noise else None

    @property
    def decided(self) -> tuple[float, ...]:
        """The radii that a certificate decides (``smoothing.stop``); empty if its rows have any radius."""
        return tuple((self.settings.get("smoothing") or {}).get("stop", ()))

    def _part(self, name: str) -> Facts:
        part: Facts = self.settings.get(name) or {}
        # Attacks and defenses from outside the package may use lists as values, which no table cell can contain.
        return {key: str(value) if isinstance(value, list) else value for key, value in part.items()}

    def array(self, column: str) -> np.ndarray:
        """The values (N,) of a column."""
        values = self._arrays.get(column)
        if values is None:
            values = self._arrays[column] = self.records[column].to_numpy()
        return values

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        return {}  # a cache, because pandas is slow to find a column

    @cached_property
    def aimed(self) -> np.ndarray:
        """(N,) bool: clips on which the attack can fail; false where the label is the target of the attack."""
        aimed: np.ndarray = self.array("label") != self.array("target")
        return aimed

    @cached_property
    def measured(self) -> np.ndarray:
        """(N,) bool: those of the ``aimed`` clips on which the attack did not diverge."""
        measured: np.ndarray = self.aimed & (self.array("adv_pred") >= 0)
        return measured


# The types that each fact of run.json may have; facts that may be None may also be missing.
TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("kind", "identity", "dataset", "unit", "access", "command"), (str,)),
    **dict.fromkeys(("stand_in", "randomised"), (bool,)),
    **dict.fromkeys(("settings", "choices", "training", "columns", "constraints"), (dict,)),
    **dict.fromkeys(("done", "total", "num_frames", "num_classes"), (int,)),
    **dict.fromkeys(("stands_for", "experiment"), (str, type(None))),
    **dict.fromkeys(("trained_noise", "surrogate_noise", "fps"), (float, int, type(None))),
    "image_size": (list, type(None)),
    **dict.fromkeys(("remarks", "members"), (list, type(None))),
    "minimises": (str, type(None)),
    "trained_here": (bool, type(None)),
    **dict.fromkeys(("sweep", "surrogate_training", "body", "origin", "shard"), (dict, type(None))),
}
DEFAULTS: dict[str, Any] = {"seeds": {}, "classes": [], "skeleton": "", "surrogate_training": {}}


def run_of(about: Mapping[str, Any], records: pd.DataFrame, folder: Path | None = None, kind: str = "attack") -> Run:
    """A run with these facts and rows; raises ``RunError`` if a fact is missing or has the wrong type."""
    try:
        facts = _checked(completed(about, kind))
    except (KeyError, TypeError, AttributeError) as error:
        raise RunError(f"its {_name_of(error)} is missing or has the wrong type") from None
    return Run(records=records, folder=folder, **facts | {"settings": effective(facts["settings"])})


def _name_of(error: Exception) -> str:
    return str(error.args[0]) if isinstance(error, KeyError) else f"content ({error})"


def _checked(about: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in ``run.json`` as fields of a ``Run``; raises ``KeyError`` naming the first wrong one."""
    facts: dict[str, Any] = {name: about.get(name) for name in TYPES}
    facts |= {name: about.get(name, default) for name, default in DEFAULTS.items()}
    for name, types in TYPES.items():
        if not isinstance(facts[name], types) or (isinstance(facts[name], bool) and bool not in types):
            raise KeyError(name)
    for name in ("remarks", "members"):
        facts[name] = [str(text) for text in facts[name] or []]
    _check_settings(facts["kind"], facts["settings"], facts["choices"])
    if not isinstance(facts["seeds"], dict) or not all(type(seed) is int for seed in facts["seeds"].values()):
        raise KeyError("seeds")
    if not isinstance(facts["classes"], list) or not isinstance(facts["surrogate_training"], dict):
        raise KeyError("classes" if isinstance(facts["surrogate_training"], dict) else "surrogate_training")
    if not isinstance(facts["training"].get("name"), str):
        raise KeyError("training")
    labels = [constraint.get(name) for constraint in facts["constraints"].values() for name in ("symbol", "unit")]
    if not all(isinstance(label, str) for label in labels):
        raise KeyError("constraints")
    if facts["body"] is not None:
        _check_body(facts["body"])
    return facts


def _check_body(body: Facts) -> None:
    try:
        Skeleton.from_dict(body)
    except ValueError:
        raise KeyError("body") from None


def _check_settings(kind: str, settings: Facts, choices: Facts) -> None:
    """Raise ``KeyError`` naming the first missing or mistyped setting or option of this kind of run."""
    of_kind = {**dict.fromkeys(("attack", "identification", "gap"), ("attack",)), "detection": ("attack", "detector")}
    for name in ("model", "defense", *of_kind.get(kind, ())):
        if not isinstance(choices.get(name), str):
            raise KeyError(f"choices.{name}")
    wanted: dict[str, tuple[type, ...]] = {"smoothing": (dict,)}
    if kind in of_kind:
        wanted = {"attack": (dict,), "targeted": (bool,), "target": (str, type(None))}
    if kind == "gap":
        wanted |= {"smoothing": (dict,), "constraint": (dict,), "tolerance": (float, int)}
    if kind == "detection":
        wanted |= {"detector": (dict,), "fit_on": (list,)}
    parts = ("dataset", "defense", "model")
    wanted |= {name: (dict,) for name in parts if name in settings}
    wanted |= {name: (str, type(None)) for name in ("checkpoint", "surrogate_checkpoint") if name in settings}
    for name, types in wanted.items():
        if name not in settings or not isinstance(settings[name], types):
            raise KeyError(f"settings.{name}")
    radii = (settings.get("smoothing") or {}).get("stop", [])
    if not isinstance(radii, list) or not all(type(radius) in (int, float) for radius in radii):
        raise KeyError("settings.smoothing.stop")


def load_run(folder: Path) -> Run | None:
    """The run of any kind in ``folder``; None if it is unfinished.

    Raises ``RunError`` if its facts or rows are missing, damaged or duplicate, or if the columns are not as declared.
    """
    path = folder / "run.json"
    if not path.exists():
        return None
    way_out = f"delete the folder {folder}, and run again if you need it"
    about = read_json(path, lambda message: RunError(f"{message.partition(': delete')[0]}: {way_out}"))
    kind = _kind(folder, about, way_out)
    rows, known = _rows_file(folder, kind), about.get("rows")
    if not rows.exists():
        raise RunError(f"{folder} has a run.json but no {kind.file}: {way_out}")
    content = _content(rows, way_out)
    stated = known.get("digest") if isinstance(known, dict) else None
    if stated and hashlib.sha256(content).hexdigest() != stated:
        raise RunError(f"{rows} is not the file that run.json describes (its digest differs): {way_out}")
    try:
        run = run_of(about, pd.DataFrame(), folder, kind.name)
    except RunError as error:
        raise RunError(f"{path} is damaged ({error}): {way_out}") from None
    records = _rows(rows, content, _columns(run, kind, path, way_out), kind, way_out)
    numbers = records["index"].to_numpy()
    if not len(records) or len(np.unique(numbers)) != len(records) or len(records) != run.done:
        raise RunError(
            f"{rows} contains {len(records)} rows, not one for each of the {run.done} clips in run.json: {way_out}"
        )
    return replace(run, records=records.take(np.argsort(numbers)).reset_index(drop=True))


def _rows_file(folder: Path, kind: RowKind) -> Path:
    """The file of a run's rows, which is compressed in a run that is kept for reference."""
    packed = folder / f"{kind.file}.gz"
    return packed if packed.exists() and not (folder / kind.file).exists() else folder / kind.file


def _content(rows: Path, way_out: str) -> bytes:
    """The text of a file of rows; raises ``RunError`` if its compression is damaged."""
    if rows.suffix != ".gz":
        return rows.read_bytes()
    try:
        return gzip.decompress(rows.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise RunError(f"{rows} is damaged ({error}): {way_out}") from None


def _kind(folder: Path, about: Facts, way_out: str) -> RowKind:
    """The kind of a run's rows: as declared, or derived from the name of the existing file."""
    existing = [kind.name for kind in KINDS.values() if _rows_file(folder, kind).exists()]
    stated = about.get("kind", next(iter(existing), "attack"))
    if not isinstance(stated, str) or stated not in KINDS:
        raise RunError(f"{folder / 'run.json'} has kind={stated}, which this version does not support: {way_out}")
    kind = KINDS[stated]
    if about.get("schema", kind.schema) != kind.schema:
        raise RunError(
            f"{folder / 'run.json'} has schema={about['schema']}, but this version reads {kind.schema}: {way_out}"
        )
    return kind


def _columns(run: Run, kind: RowKind, path: Path, way_out: str) -> dict[str, str]:
    """The declared columns of a run's rows; raises ``RunError`` if a core column is missing."""
    for name, wanted in {**kind.columns, **constraint_columns(run.constraints)}.items():
        if run.columns.get(name) != wanted:
            raise RunError(f"{path} declares no column {name} of {wanted} values: {way_out}")
    unknown = [name for name, declared in run.columns.items() if declared not in READ_AS]
    if unknown:
        raise RunError(f"{path} declares a column {unknown[0]} of {run.columns[unknown[0]]} values: {way_out}")
    return dict(run.columns)


def _rows(path: Path, content: bytes, columns: Mapping[str, str], kind: RowKind, way_out: str) -> pd.DataFrame:
    """The rows in these columns; raises ``RunError`` naming the first column with values of another kind.

    A cell may be empty in a column of floats, and in an optional column.
    """
    header = content.partition(b"\n")[0].decode(errors="replace").split(",")
    if header != list(columns):
        raise RunError(f"{path} has other columns than its run.json declares: {way_out}")
    texts = [name for name, kind in columns.items() if kind == "text"]
    try:
        rows = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(texts, "str"), low_memory=False)
        if len(rows) and rows[texts].isna().to_numpy().any():  # a clip may be called nan
            rows[texts] = pd.read_csv(io.BytesIO(content), usecols=texts, dtype="str", keep_default_na=False)[texts]
    except (ValueError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}): {way_out}") from None
    for name, dtype in rows.dtypes.items() if len(rows) else ():
        wanted = columns[str(name)]
        if dtype.kind not in READ_AS[wanted] and not (name not in kind.columns and _may_be_empty(rows[name], wanted)):
            raise RunError(f"{path} is damaged (its column {name} does not contain only {wanted} values): {way_out}")
    odd = {name for name, dtype in rows.dtypes.items() if columns[str(name)] != "text" and dtype.kind in "Oi"}
    odd -= {name for name in odd if columns[str(name)] == "int" and rows[name].dtype.kind == "i"}
    return rows.astype(dict.fromkeys(odd, "float64")) if odd else rows


def _may_be_empty(values: pd.Series, kind: str) -> bool:
    """Whether all cells of a column that are not empty are of this kind."""
    filled = values.dropna()
    if kind == "int":
        return values.dtype.kind == "f" and bool((filled == filled.round()).all())
    return kind == "bool" and len(filled) < len(values) and bool(filled.isin([True, False]).all())


def load_runs(root: Path, strict: bool = False, once: bool = False) -> tuple[list[Run], list[Path]]:
    """All finished runs below a folder, in a fixed order, and the folders of unfinished runs.

    ``once``: whether copies of one run with the same rows count once.

    Raises ``RunError`` as ``load_run`` does, for two copies of one run, and with ``strict`` for an unfinished run.
    """
    files = [f"{kind.file}{end}" for kind in KINDS.values() for end in ("", ".gz")]
    folders = sorted({path.parent for name in files for path in root.rglob(name)})
    runs, unfinished = load_folders(folders, once)
    if strict and unfinished:
        raise RunError(
            f"{unfinished[0]} has no run.json, so it is unfinished: run its command again, "
            "delete the folder, or leave out --strict"
        )
    return runs, unfinished


def load_folders(folders: Iterable[Path], once: bool = False) -> tuple[list[Run], list[Path]]:
    """The finished runs in these folders, and the unfinished folders; shards are joined to the runs that they are of.

    Shards that are missing count as unfinished; ``once``: whether copies with the same rows count once. Raises
    ``RunError`` as ``load_runs`` does.
    """
    whole: list[Run] = []
    unfinished: list[Path] = []
    shards: dict[Path, list[Path]] = {}
    for folder in folders:
        if Shard.of_folder(folder) is not None:
            shards.setdefault(folder.parent, []).append(folder)
        elif (run := load_run(folder)) is not None:
            whole.append(run)
        else:
            unfinished.append(folder)
    for folder, parts in shards.items():
        joined, missing = join(folder, parts)
        same = next((run for run in whole if run.folder == folder), None)
        if same is not None and (joined is None or joined.done <= same.done):
            continue  # the run was also made as a whole
        unfinished += missing
        whole += [] if joined is None else [joined]
    return without_duplicates(whole, once), sorted(unfinished)


def join(folder: Path, parts: Sequence[Path]) -> tuple[Run | None, list[Path]]:
    """A run from its shards, or None and the folders of the shards that are missing or unfinished.

    Raises ``RunError`` if the shards are not those of one run, if two of them contain a clip, or if a clip is missing.
    """
    shards = {shard: part for part in parts if (shard := Shard.of_folder(part)) is not None}
    of = sorted({shard.of for shard in shards})
    if len(of) > 1:
        raise RunError(
            f"{folder} contains shards of {of[0]} and of {of[1]} parts, which overlap: keep those of one number of "
            "parts, and delete the others"
        )
    runs = {shard.part: run for shard, part in shards.items() if (run := load_run(part)) is not None}
    missing = [folder / Shard(part, of[0]).folder for part in range(1, of[0] + 1) if part not in runs]
    if missing:
        return None, missing
    records = _records([runs[part] for part in sorted(runs)])
    twice = records["name"][records["index"].duplicated()]
    if len(twice):
        raise RunError(f"two shards in {folder} contain clip {twice.iloc[0]}: delete the shards, and run them again")
    clips = {run.shard.get("clips") for run in runs.values() if run.shard is not None}
    if clips != {len(records)}:
        raise RunError(
            f"the shards in {folder} contain {len(records)} clips, but the run has "
            f"{' or '.join(sorted(map(str, clips)))}: run all of them with the same runtime.limit"
        )
    return replace(runs[1], records=records, folder=folder, done=len(records), shard=None), []


def _records(runs: Sequence[Run]) -> pd.DataFrame:
    """The rows of all shards in the order of the dataset; raises ``RunError`` if one is of another run."""
    for run in runs[1:]:
        for name in ("identity", "kind", "columns", "settings", "total"):
            if getattr(run, name) != getattr(runs[0], name):
                raise RunError(f"{run.folder} has another {name} than {runs[0].folder}: they are not shards of one run")
    return pd.concat([run.records for run in runs]).sort_values("index", ignore_index=True)


def _same_rows(one: Run, other: Run) -> bool:
    """Whether two copies of a run have equal values in the columns that both have, apart from the time they took."""
    common = [name for name in one.records if name in other.records and name != "seconds"]
    return one.records[common].equals(other.records[common])


def without_duplicates(runs: Iterable[Run], once: bool = False) -> list[Run]:
    """These runs as a list; raises ``RunError`` if two of them are the same run, which would count twice.

    ``once``: whether copies with the same rows are allowed, of which the one with the most columns stays.
    """
    found: dict[tuple[str, str, str], Run] = {}
    for run in runs:
        key = (run.dataset, run.kind, run.identity)
        other = found.get(key)
        if other is not None and not (once and _same_rows(other, run)):
            raise RunError(f"{other.folder} and {run.folder} are the same run: use a folder that contains one of them")
        found[key] = run if other is None or len(run.columns) > len(other.columns) else other
    return list(found.values())

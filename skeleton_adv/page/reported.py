"""Results that others report, in a JSON file: checked, and marked as theirs on the page."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skeleton_adv.core.errors import DataError
from skeleton_adv.core.ranges import nearest
from skeleton_adv.page.board import rate_of
from skeleton_adv.report.stats import Rate

FORMAT = "skeleton_adv reported results 1"
TOP = {"format": str, "by": str, "reference": str, "rows": list}
TEXTS = ("dataset", "threat", "victim", "defense", "attack", "goal", "access", "surrogate")
REQUIRED = ("dataset", "threat", "victim", "attack", "clips", "correct_before")
COUNTS = ("clips", "correct_before", "success", "feasible_success")
LONGEST, MOST_ROWS, MOST_BYTES, MOST_CLIPS = 200, 5000, 4 * 2**20, 10**7
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def reported(path: Path) -> list[dict[str, Any]]:
    """The rows of a file as rows of the leaderboard; raises ``DataError`` in one line for anything else.

    The file has ``format``, ``by`` (who measured), ``reference`` (where it is published) and ``rows``. A row has
    ``dataset``, ``threat``, ``victim``, ``attack``, and counts: ``clips``, ``correct_before`` (how many of them the
    victim classifies correctly), ``success`` and ``feasible_success`` (how many of these are fooled). It may have
    ``defense``, ``goal``, ``access``, ``surrogate`` and ``rms_mm``. Rates and intervals are computed here.
    """
    content = _read(path)
    for name, kind in TOP.items():
        if not isinstance(content.get(name), kind):
            raise DataError(f"{path}: {name} is missing or no {'list' if kind is list else 'text'}")
    _known(f"{path}", content, [*TOP])
    if content["format"] != FORMAT:
        raise DataError(f"{path}: format={content['format'][:60]!r} is not known: write {FORMAT!r}")
    texts = {name: _text(f"{path}: {name}", content[name]) for name in ("by", "reference")}
    if len(content["rows"]) > MOST_ROWS:
        raise DataError(f"{path}: has {len(content['rows'])} rows, and a page takes {MOST_ROWS}: split the file")
    return [_row(f"{path}: row {place + 1}", row, texts) for place, row in enumerate(content["rows"])]


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DataError(f"{path}: is larger than {MOST_BYTES // 2**20} MiB: leave out what is not a result")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path} does not exist: name a JSON file of results") from None
    except (ValueError, RecursionError, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: is no readable JSON ({error})") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no JSON object")
    return content


def _row(where: str, row: Any, texts: Mapping[str, str]) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise DataError(f"{where}: is no JSON object")
    _known(where, row, [*TEXTS, *COUNTS, "rms_mm"])
    missing = next((name for name in REQUIRED if name not in row), None)
    if missing:
        raise DataError(f"{where}: {missing} is missing")
    names = {name: _text(f"{where}: {name}", row.get(name, "")) for name in TEXTS}
    counts = {name: _count(f"{where}: {name}", row[name]) for name in COUNTS if name in row}
    _check_counts(where, counts)
    rms = row.get("rms_mm")
    if rms is not None and not (type(rms) in (int, float) and 0 <= rms < 1e6):
        raise DataError(f"{where}: rms_mm={str(rms)[:40]} must be a number of at least 0")
    right = counts["correct_before"]
    empty = {"text": "", "value": None}
    rates = {
        "clean_accuracy": _rate(right, counts["clips"]),
        "success_if_right": _rate(counts["success"], right) if "success" in counts else empty,
        "feasible_success_if_right": _rate(counts["feasible_success"], right)
        if "feasible_success" in counts
        else empty,
    }
    size = {"value": rms, "text": "" if rms is None else f"{rms:.2f}"}
    more = {"clips": str(counts["clips"]), "count": counts["clips"], "run": "", "weak": False, "paper": ""}
    return {**names, **rates, "rms_mm": size, "l2": empty, "small": "mm", "unit": "m", **more, "reported": dict(texts)}


def _check_counts(where: str, counts: Mapping[str, int]) -> None:
    """Raise ``DataError`` for a count that is larger than what it is a part of."""
    wholes = (("correct_before", "clips"), ("success", "correct_before"), ("feasible_success", "success"))
    for part, whole in wholes:
        if part in counts and whole in counts and counts[part] > counts[whole]:
            raise DataError(f"{where}: {part}={counts[part]} is more than {whole}={counts[whole]}")
    if "feasible_success" in counts and counts["feasible_success"] > counts["correct_before"]:
        raise DataError(f"{where}: feasible_success is more than correct_before={counts['correct_before']}")


def _rate(hits: int, count: int) -> dict[str, Any]:
    return rate_of(Rate(hits, count).columns("rate"), "rate")


def _known(where: str, content: Mapping[str, Any], names: list[str]) -> None:
    for name in content:
        if name not in names:
            raise DataError(f"{where}: {str(name)[:60]!r} is not known: {nearest(str(name)[:60], names)}")


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or len(value) > LONGEST or CONTROL.search(value):
        raise DataError(f"{where} must be a text of at most {LONGEST} characters, without control characters")
    return value


def _count(where: str, value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MOST_CLIPS:
        raise DataError(f"{where}={str(value)[:40]} must be a whole number from 0 to {MOST_CLIPS}")
    return value

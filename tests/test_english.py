"""Prose in plain English: documents, ``--help``, options, messages, docstrings and comments avoid these phrases.

A phrase is listed only if no legitimate sentence of this repository needs it. The notes of tables are strings of
``skeleton_adv/report``.
"""

import ast
import json
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHECKED = (
    *("*.md", "Makefile", "docs/**/*.md", "conf/**/*.yaml", "scripts/*.py", "skeleton_adv/**/*.py"),
    *("tests/golden/messages.json", "tests/**/*.py"),
)

PHRASES = (
    # archaisms
    *(r"anew", r"afresh", r"oftener", r"(?:is|are|was|were|be) had", r"had from", r"but for", r"so many"),
    *(r"otherwise than", r"aforesaid", r"aught", r"nought", r"mend(?:s|ed)?", r"none is none", r"no matter"),
    # people and persons where there are none
    *(r"nobody", r"anybody", r"everybody", r"somebody", r"whoever", r"whatever", r"by itself", r"by themselves"),
    r"(?:code|program|function|module|table|file|run|attack|defense|network) (?:knows|believes|thinks|wants|speaks)",
    *(
        r"(?:is|are|was|were|be) told",
        r"(?:its|their|own) word",
        r"plain words",
        r"entitle[ds]?",
        r"deeds?",
        r"telling",
    ),
    # "a" instead of "per"
    r"(?:(?:one|two|three|ten|\d+)(?: (?:records?|rows?|files?|m|mm|frames?|draws?|passes|columns?))?|once|twice)"
    r" an? (?:clip|run|frame|second|pass|draw|step|stream|epoch|joint|class|dataset|task|worker|chunk)",
    r"(?:ms|metres|seconds|frames|rows|columns) an? (?:clip|run|frame|second|pass|draw|step|stream|epoch|joint|class)",
    # vague places and relative clauses instead of nouns
    r"(?:stands?|stood|lies|lay) (?:at|in(?! for)|on|beside|below|above|between|within|inside|there|for all)",
    *(
        r"what flows",
        r"what (?:was|is) (?:typed|said|kept|there|told)",
        r"what there is",
        r"of (?:its|their|one's) own(?=[.,;:)]|$)",
    ),
    r"nowhere that",
    # the vocabulary of the field: draw, trace, oblivious
    r"(?:fresh|many|each|every|one|noisy|of) looks?",
    *(r"courses? of (?:an|the) attack", r"unaware", r"ignorant of"),
)
NAMES = frozenset(("anew", "course", "deed", "entitle", "telling", "said", "told", "asked", "means"))
FORBIDDEN = re.compile("|".join(rf"\b(?:{phrase})\b" for phrase in PHRASES), re.IGNORECASE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and texts of a file; for Python these are docstrings, comments and, in the package, strings."""
    if path.suffix != ".py":
        yield 1, path.read_text(encoding="utf-8")
        return
    package = path.is_relative_to(ROOT / "skeleton_adv")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            yield getattr(node, "lineno", 1), ast.get_docstring(node) or ""
        elif package and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    with tokenize.open(path) as file:
        yield from (
            (t.start[0], t.string) for t in tokenize.generate_tokens(file.readline) if t.type == tokenize.COMMENT
        )


def names(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers and names of the functions, classes, arguments and variables that a Python file defines."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id


def phrases(text: str) -> list[str]:
    """The forbidden phrases in a text, whose line breaks count as spaces."""
    return [match.group() for match in FORBIDDEN.finditer(" ".join(text.split()))]


def checked() -> list[Path]:
    return sorted({path for pattern in CHECKED for path in ROOT.glob(pattern)})


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("UTD-MHAD is had from its owners, but for one file.", 2),
        ("One record a clip, drawn\nanew by so many looks.", 3),
        ("The attack=None is none.", 1),
        ("The data that are needed are at hand; each look-up is one per clip.", 1),
        ("One record per clip; the attack obeys its constraints on no clip that it moves.", 0),
        ("A stand-in for Kinetics: the person stands still, and every frame has a score.", 0),
    ],
)
def test_phrases_are_found(text: str, count: int) -> None:
    assert len(phrases(text)) == count


def test_files_are_in_plain_english() -> None:
    found = []
    for path in checked():
        place = str(path.relative_to(ROOT))
        found += [(place, number, phrase) for number, text in prose(path) for phrase in phrases(text)]
        if path.suffix == ".py" and path.is_relative_to(ROOT / "skeleton_adv"):
            found += [(place, number, name) for number, name in names(path) if name.strip("_") in NAMES]
    assert found == [] and len(checked()) > 500


def test_help_is_in_plain_english() -> None:
    from skeleton_adv.command.help import help_text

    assert phrases(help_text([])) == []


def test_messages_are_in_plain_english() -> None:
    messages = json.loads((ROOT / "tests/golden/messages.json").read_text(encoding="utf-8"))
    assert {command: found for command, text in messages.items() if (found := phrases(text))} == {}

"""The house rules that a reader relies on: who may import whom, and that everything is typed."""

import ast
from pathlib import Path

import pytest

import skeleton_adv

PACKAGE = Path(skeleton_adv.__file__).parent
LEVELS = [
    {"errors"},
    {"memory", "places", "ranges", "progress"},
    {"skeleton"},
    {"batch"},
    {"constraints", "noise", "saved"},
    {"data", "models"},
    {"space"},
    {"defenses", "attacks"},
    {"victim"},
    {"metrics", "sanity"},
    {"train", "certify"},
    {"evaluate", "certification"},
    {"job"},
    {"checks"},
    {"tasks"},
    {"cli"},
    {"build"},
    {"__main__"},
]
ALONE = {
    "records": {"errors"},
    "summary": {"errors", "records"},
    "cells": {"errors", "summary"},
    "white_box": {"summary", "cells"},
    "transfer": {"errors", "summary", "cells"},
    "defended": {"summary", "cells"},
    "certified": {"cells", "records", "summary"},
    "drawing": set(),
    "kept": {"errors", "places", "skeleton", "summary"},
    "curves": {"summary", "cells", "transfer", "certified", "drawing", "kept"},
    "films": {"cells", "drawing", "kept"},
    "figures": {"errors", "summary", "cells", "certified", "curves", "drawing", "kept", "films"},
    "comparison": {"cells", "summary", "white_box"},
    "tables": {"errors", "records", "summary", "cells", "white_box", "transfer", "defended", "comparison", "certified"},
}
MODULES = sorted(PACKAGE.rglob("*.py"))
each = pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Full names that a module imports, at its top or inside its functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@each
def test_imports_run_one_way(path: Path) -> None:
    own = {name.split(".")[1] for name in imported(path) if name.startswith("skeleton_adv.")} - {"__version__"}
    place = top(path)
    if place == "__init__":
        assert not own
    elif place in ALONE:
        assert own - {place} <= ALONE[place]
    else:
        level = next(i for i, level in enumerate(LEVELS) if place in level)
        allowed = set().union(*LEVELS[:level]) | {place}
        if level >= next(i for i, one in enumerate(LEVELS) if "evaluate" in one):
            allowed |= set(ALONE)
        assert own <= allowed


@each
def test_hydra_and_torch_stay_where_they_belong(path: Path) -> None:
    roots = {name.split(".")[0] for name in imported(path)}
    place = top(path)
    assert not roots & {"hydra", "omegaconf"} or place in ("__main__", "build", "cli")
    if place in ALONE or place in ("__main__", "build", "cli"):
        assert "torch" not in roots
    if place == "attacks":
        assert not {n for n in imported(path) if n.startswith(("skeleton_adv.models", "skeleton_adv.data"))}


@each
def test_every_signature_is_typed(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not untyped and node.returns is not None, f"{node.name} {untyped}"


@each
def test_files_and_functions_can_be_read_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300
    longest = 100 if top(path) == "attacks" else 40
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < longest, node.name

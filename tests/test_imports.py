"""The rules of the code: the direction of imports, type hints, and short functions."""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

import skeleton_adv

PACKAGE = Path(skeleton_adv.__file__).parent
# Each folder may import those of earlier rows; folders in the same row do not import each other.
LAW = [
    ["core"],
    ["runs", "constraints", "data"],
    ["models"],
    ["attacks", "defenses", "detectors", "certificates"],
    ["train"],
    ["evaluation"],
    ["command"],
    ["tasks"],
    ["page"],
    ["launch"],
    ["__main__", "api"],
]
SCREEN = [
    ["core"],
    ["runs"],
    ["report"],
    ["tables", "figures", "export", "page", "status", "api"],
    ["launch"],
    ["__main__"],
]  # what reads finished runs
DOCUMENTED = {("api", "attack"), ("api", "clips")}
MODULES = sorted(PACKAGE.rglob("*.py"))


def top(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


@cache
def nodes(path: Path) -> list[ast.AST]:
    return [*ast.walk(ast.parse(path.read_text()))]


def imported(path: Path) -> set[str]:
    """Full names that a module imports, at its top or inside its functions."""
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def before(place: str, law: list[list[str]]) -> set[str]:
    row = next((number for number, names in enumerate(law) if place in names), 0)
    return {name for names in law[:row] for name in names}


def imports_have_one_direction(path: Path) -> None:
    place = top(path)
    own = {full.split(".")[1] for full in imported(path) if full.startswith("skeleton_adv.")} - {"__version__", place}
    if place == "__init__":  # names that are imported when they are first used
        assert own <= {"api", "attacks", "core"}
    else:
        assert own <= before(place, LAW) | before(place, SCREEN)


def hydra_and_torch_are_imported_only_where_allowed(path: Path) -> None:
    names = imported(path)
    roots, place = {name.split(".")[0] for name in names}, top(path)
    assert not roots & {"hydra", "omegaconf"} or place in ("__main__", "command")
    if place in ("runs", "report", "tables", "figures", "export", "status", "__main__") and path.name != "clips.py":
        assert "torch" not in roots
    if place == "attacks":
        assert not {name for name in names if name.startswith(("skeleton_adv.models", "skeleton_adv.data"))}
    if place == "tasks":
        own = f"skeleton_adv.tasks.{path.stem}"
        tasks = {f"skeleton_adv.tasks.{file.stem}" for file in (PACKAGE / "tasks").glob("*.py")}
        steps = {f"skeleton_adv.tasks.{name}" for name in ("fitting", "judged", "resume", "saved", "sizing", "weights")}
        assert path.name == "__init__.py" or not {n.rpartition(".")[0] for n in names} & (tasks - steps - {own})


def every_signature_is_typed(path: Path) -> None:
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            assert not untyped and node.returns is not None, f"{node.name} {untyped}"


def functions_are_short(path: Path) -> None:
    """Public calls with many parameters, each documented, are bound by their bodies alone."""
    longest = 100 if top(path) == "attacks" else 40
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            start = node.body[1].lineno if (top(path), node.name) in DOCUMENTED else node.lineno
            assert (node.end_lineno or 0) - start < longest, node.name


@pytest.mark.parametrize(
    "rule",
    [
        imports_have_one_direction,
        hydra_and_torch_are_imported_only_where_allowed,
        every_signature_is_typed,
        functions_are_short,
    ],
)
def test_every_module_obeys(rule: Callable[[Path], None]) -> None:
    for path in MODULES:
        rule(path)

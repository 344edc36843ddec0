"""What the documents say can be done: their links lead somewhere, their commands are taken."""

import re
from pathlib import Path

import pytest

from skeleton_adv.command import cli

ROOT = Path(__file__).parents[1]
DOCUMENTS = [path for path in (ROOT, ROOT / "outputs/reference") for path in sorted(path.glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []


def _commands() -> list[str]:
    """All command lines of ``python -m skeleton_adv`` in the documents, without remarks."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        found += re.findall(r"^    (python -m skeleton_adv(?: .*)?)$", text, re.MULTILINE)
        found += [" ".join(code.split()) for code in re.findall(r"`(python\s+-m\s+skeleton_adv\s[^`]*)`", text)]
    return sorted({command.partition("#")[0].strip() for command in found})


def test_there_are_commands_to_check() -> None:
    assert len(_commands()) > 10


@pytest.fixture
def of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder holds an attack of the user's own, as README describes it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conf" / "attack").mkdir(parents=True)
    (tmp_path / "my_conf/attack/mine.yaml").write_text("# Mine\n_target_: mine.attack\n_partial_: true\nsize: 0.1\n")


@pytest.mark.parametrize("command", _commands())
@pytest.mark.usefixtures("of_ones_own")
def test_commands_are_taken(command: str) -> None:
    cli.check_arguments(cli.translated(command.split()[3:]))

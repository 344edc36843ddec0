"""All commands in the documents are valid, and those of the README run if a fresh clone contains their data.

Two kinds of commands are checked but not run: those on data that users must request from the owners (except
UTD-MHAD, whose format the small clips of ``mat_folder`` have), and those whose weights are not in the repository. A
name in capitals is a path of the reader.
"""

import re
import shlex
import sys
from pathlib import Path

import pytest
from jobs import job_of

from skeleton_adv import __main__
from skeleton_adv.command import cli
from skeleton_adv.command.compose import each_of, parse, split
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.tasks.weights import find_checkpoint

ROOT = Path(__file__).parents[1]
DOCUMENTS = [path for path in (ROOT, ROOT / "outputs/reference") for path in sorted(path.glob("*.md"))]
OWN = re.compile(r"(?<![^=\s])[A-Z]{3,}(?!\S)")  # FOLDER, PATH


def commands(*documents: Path) -> list[str]:
    """All command lines of ``python -m skeleton_adv`` in these documents, without prompts and remarks."""
    found = []
    for path in documents:
        text = path.read_text()
        found += re.findall(r"^(?: {4}|\$ )(?:\S*/)?python -m skeleton_adv((?: .*)?)$", text, re.MULTILINE)
        found += re.findall(r"^(?:\S*/)?python -m skeleton_adv((?: .*)?)$", text, re.MULTILINE)  # in a fenced block
        found += [" ".join(code.split()) for code in re.findall(r"`python\s+-m\s+skeleton_adv(\s[^`]*)`", text)]
    return sorted({command.partition("#")[0].strip() for command in found})


README = commands(ROOT / "README.md")
# An attack of the reader, in the current folder.
MINE = """import torch
from skeleton_adv.attacks import AttackResult, needs

@needs("none")
def attack(model, batch, *, targeted: bool = False, size: float = 0.1) -> AttackResult:
    return AttackResult(batch.x + size * batch.movable, torch.zeros(len(batch), dtype=torch.bool))
"""
OPTION = "# Mine\n_target_: mine.attack\n_partial_: true\nsize: 0.2\n"


@pytest.fixture(autouse=True)
def of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the reader's own files of the README to the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "my_conf" / "attack").mkdir(parents=True)
    (tmp_path / "my_conf/attack/mine.yaml").write_text(OPTION)
    (tmp_path / "mine.py").write_text(MINE)


def test_documents_contain_commands() -> None:
    assert len(README) >= 8


@pytest.mark.parametrize("command", commands(*DOCUMENTS))
def test_commands_are_valid(command: str, tmp_path: Path) -> None:
    cli.check_arguments(cli.translated(shlex.split(OWN.sub(str(tmp_path), command))))


@pytest.mark.parametrize("command", README)
def test_commands_run(
    command: str,
    mat_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Each command is shortened and has its own folders: two clips, single steps, few draws, one epoch."""
    if OWN.search(command):
        pytest.skip("it names a path of the reader's own")
    typed = shlex.split(command)
    if "--config-dir" in typed:
        typed += ["runtime.limit=2", "batch_size=2"]
    elif not any(word.startswith("-") and word not in ("-m", "--multirun") for word in typed):
        words = [each_of(parse(word))[0] for word in split(cli.translated(typed))[0]]
        job = job_of([*words, *(f"dataset.root={mat_folder}" for word in words if word == "dataset=utd_mhad")])
        typed += short(job, words, mat_folder)
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", *typed])
    code = None
    try:
        __main__.main()
    except SystemExit as ended:
        code = ended.code
    shown = capsys.readouterr()
    assert not code, shown.err
    assert shown.out or shown.err


def short(job: Job, words: list[str], mat_folder: Path) -> list[str]:
    """The settings that shorten a command; skips commands whose data or weights a fresh clone does not contain."""
    if not job.dataset.generated and job.choices["dataset"] != "utd_mhad":
        pytest.skip(f"it needs the files of {job.dataset.name}")
    if job.name in ("attack", "certify"):
        try:
            for role in job.roles:
                find_checkpoint(job, role)
        except CheckpointError as error:
            pytest.skip(f"no such weights are shipped: {error}")
    changes = ["runtime.limit=2", "runtime.device=cpu"]
    changes += [] if job.dataset.generated else [f"dataset.root={mat_folder}"]
    changes += [] if job.name in ("prepare", "export", "certify") else ["batch_size=2"]
    changes += ["judgements=2"] if job.name == "attack" and job.choices["defense"] != "none" else []
    changes += [f"attack.{key}=1" for key in job.settings.get("attack", {}) if key.endswith("steps")]
    changes += {"train": ["recipe.epochs=1"], "certify": ["smoothing.n0=20", "smoothing.n=20"]}.get(job.name, [])
    typed = {word.partition("=")[0] for word in words}
    return [change for change in changes if change.partition("=")[0] not in typed]


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_runs_every_value(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-m`` in one process makes a run per value; the second run reuses the clean predictions of the first."""
    monkeypatch.chdir(tmp_path)
    few = ["attack.outer_steps=1", "attack.inner_steps=1", "batch_size=2", "runtime.limit=2", "runtime.device=cpu"]
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", flag, "attack.beta=0.1,1", *few])
    __main__.main()
    assert len([*tmp_path.glob("outputs/runs/synthetic_cs/hcn/admm/none/*/run.json")]) == 2

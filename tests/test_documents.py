"""The documents do what they say: links lead somewhere, every command is accepted, and every code block and command
of README and docs runs, in order, as a reader would follow them.

Runs are made short: two clips, single steps, few draws, one epoch. Commands on data or weights that a fresh clone
does not have are checked only. UTD-MHAD's files are replaced by the small ones of ``mat_folder``.
"""

import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from documents import FOLLOWED, RECORDS, ROOT, Step, commands, steps
from jobs import job_of
from omegaconf import OmegaConf
from torch import nn

import skeleton_adv as sa
from skeleton_adv import __main__
from skeleton_adv.api.protocols import PROTOCOLS
from skeleton_adv.command import cli
from skeleton_adv.command.compose import each_of, parse, split
from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import CheckpointError
from skeleton_adv.tasks.weights import find_checkpoint

DOCUMENTS = [*(path for path in sorted(ROOT.glob("*.md")) if path not in FOLLOWED), *FOLLOWED, *RECORDS]
OFTEN = ("README.md", "quickstart.md")  # followed by make test too
OWN_PATH = re.compile(r"(?<![^=\s])[A-Z]{3,}(?!\S)")  # FOLDER, RUN: the reader's own
MINE = """import torch
from skeleton_adv.attacks import AttackResult, needs

@needs("none")
def attack(model, batch, *, targeted: bool = False, size: float = 0.1) -> AttackResult:
    return AttackResult(batch.x + size * batch.movable, torch.zeros(len(batch), dtype=torch.bool))
"""


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text())
    targets = [link.partition("#")[0] for link in links if "://" not in link]
    assert [target for target in targets if target and not (path.parent / target).exists()] == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


@pytest.mark.cases(20)
@pytest.mark.parametrize("command", commands(*DOCUMENTS))
def test_commands_are_accepted(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_conf/attack").mkdir(parents=True)
    (tmp_path / "my_conf/attack/mine.yaml").write_text("# Mine\n_target_: mine.attack\n_partial_: true\n")
    cli.check_arguments(cli.translated(shlex.split(OWN_PATH.sub(str(tmp_path), command))))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's current folder, with the files that the documents call the reader's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for module in ("mine", "my_module"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    (tmp_path / "my_conf" / "attack").mkdir(parents=True)
    (tmp_path / "my_conf/attack/mine.yaml").write_text("# Mine\n_target_: mine.attack\n_partial_: true\nsize: 0.2\n")
    (tmp_path / "mine.py").write_text(MINE)
    (module,) = (step.text for step in steps(ROOT / "docs/victims.md") if step.text.startswith("# my_module.py"))
    (tmp_path / "my_module.py").write_text(module)
    (folder,) = (step.text for step in steps(ROOT / "docs/data.md") if step.kind == "python")
    exec(folder.replace("my_clips", "MY_CLIPS"), {})
    scope: dict[str, Any] = {}
    exec(module, scope)
    torch.save(scope["MyNet"](num_classes=2, num_joints=20, channels=3).state_dict(), tmp_path / "MY_WEIGHTS")
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, mat_folder: Path) -> None:
    """Attacks of the shipped victims on two clips, ADMM with one step; of a protocol, the first two attacks."""
    attack, load_clips, v1 = sa.attack, sa.load_clips, PROTOCOLS["v1"]

    def short(victim: Any, clips: Any, name: Any = "admm", **settings: Any) -> Any:
        few = {"outer_steps": 1, "inner_steps": 1} if name == "admm" else {}
        return attack(victim, clips, name, **settings | few | ({"batch_size": 2} if clips.words else {}))

    monkeypatch.setattr(sa, "attack", short)

    def few_clips(name: str, root: str | None = None, **rest: Any) -> Any:
        return load_clips(name, mat_folder if root else None, **rest | {"limit": 4})

    monkeypatch.setattr(sa, "load_clips", few_clips)
    monkeypatch.setitem(PROTOCOLS, "v1", replace(v1, entries=v1.entries[:2]))


class Linear(nn.Module):
    """A reader's network on NTU's skeleton."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(75, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.last(x.mean(dim=(2, 4)).flatten(1))
        return logits


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name_of(path), marks=[] if path.name in OFTEN else [pytest.mark.more])
        for path in FOLLOWED
        if [*steps(path)]
    ],
)
@pytest.mark.usefixtures("quick")
def test_a_document_can_be_followed(
    path: Path, desk: Path, mat_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    scope: dict[str, Any] = {"net": Linear(), "x": rng.normal(0, 0.3, (4, 70, 25, 3)), "y": [0, 1, 2, 3]}
    seen: set[Step] = set()
    for step in steps(path):
        if step in seen:
            continue
        seen.add(step)
        if step.kind == "python":
            exec(compile(step.text, str(path), "exec"), scope)
        else:
            _run(step, desk, mat_folder, monkeypatch, capsys)


def _run(
    step: Step, desk: Path, mat_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    if step.module:
        saved = sorted(desk.glob("outputs/runs/**/clips"))
        if OWN_PATH.search(step.text) and not saved:
            return
        words = shlex.split(OWN_PATH.sub(lambda _: str(saved[0].parent), step.text))
    else:
        words = _shortened(shlex.split(step.text), mat_folder)
    if not words:
        return
    main: Callable[[], None] = import_module(f"skeleton_adv.{step.module}").main if step.module else __main__.main
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", *words])
    code = None
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert not code, (step, said.err)
    assert said.out or said.err


def _shortened(typed: list[str], mat_folder: Path) -> list[str]:
    """The words of a command with what makes it short; none if a fresh clone lacks its data or weights."""
    if OWN_PATH.search(" ".join(typed)) or any(word.startswith("launcher=") for word in typed):
        return []
    if any(word.startswith("-") and word not in ("-m", "--multirun", "--config-dir") for word in typed):
        return typed
    words = [each_of(parse(word))[0] for word in split(cli.translated(typed))[0]]
    root = _halved(mat_folder) if "dataset.label=subject" in typed else mat_folder
    places = [f"dataset.root={root}" for word in words if word == "dataset=utd_mhad"]
    if "--config-dir" in typed:
        return [*typed, "runtime.limit=2", "batch_size=2"]
    job = job_of([*words, *places])
    if job.choices["dataset"] not in ("utd_mhad", "folder") and not job.dataset.generated:
        return []
    if job.name in ("attack", "certify", "gap") and job.victim.has_option:
        try:
            for role in job.roles:
                find_checkpoint(job, role)
        except CheckpointError:
            return []
    # What makes one attack short may not be a setting of the others.
    one = [f"attack={job.choices['attack']}"] if _swept(typed, "attack") else []
    defenses = _swept(typed, "defense").replace(",denoiser", "")  # its fit takes 15 s; other commands shorten it
    one += [f"defense={defenses}"] if defenses else []
    return [*typed, *places, *one, *_changes(job, {word.partition("=")[0] for word in words})]


def _halved(mat_folder: Path) -> Path:
    """The same clips, whose second trials are called third, so that each subject has training and test clips."""
    folder = mat_folder.parent / f"{mat_folder.name}_halved"
    if not folder.exists():
        folder.mkdir()
        for path in mat_folder.iterdir():
            (folder / path.name.replace("_t2_", "_t3_")).symlink_to(path)
    return folder


def _swept(typed: list[str], group: str) -> str:
    """The options that the experiment of a command sweeps, unless the command chooses; empty: none."""
    names = [word.partition("=")[2] for word in typed if word.startswith("experiment=")]
    if not names or any(word.startswith(f"{group}=") for word in typed):
        return ""
    own: Any = OmegaConf.load(cli.CONF / "experiment" / f"{names[0]}.yaml")
    return str(own.hydra.get("sweeper", {}).get("params", {}).get(group, ""))


def _changes(job: Job, typed: set[str]) -> list[str]:
    changes = ["runtime.limit=2", "runtime.device=cpu"]
    changes += [] if job.name in ("prepare", "export", "certify", "gap") else ["batch_size=2"]
    changes += ["judgements=2"] if job.name == "attack" and job.choices["defense"] != "none" else []
    changes += [
        f"attack.{key}=1" for key in job.settings.get("attack", {}) if key.endswith("steps") or key == "queries"
    ]
    changes += ["defense.steps=1"] if "steps" in job.settings.get("defense", {}) else []
    few = ["smoothing.n0=20", "smoothing.n=20"]
    more = {"train": ["recipe.epochs=1"], "certify": few, "gap": [*few, "smoothing.clips=2", "eot=2", "tolerance=1"]}
    changes += more.get(job.name, [])
    changes += ["training.epochs=1"] if job.name == "train" and job.settings["training"].get("epochs") else []
    return [change for change in changes if change.partition("=")[0] not in typed]


@pytest.mark.parametrize("flag", ["-m", "--multirun"])
def test_a_sweep_runs_every_value(flag: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``-m`` in one process: a run per value; the second reuses the first's clean predictions."""
    monkeypatch.chdir(tmp_path)
    few = ["attack.outer_steps=1", "attack.inner_steps=1", "batch_size=2", "runtime.limit=2", "runtime.device=cpu"]
    monkeypatch.setattr(sys, "argv", ["skeleton_adv", flag, "attack.beta=0.1,1", *few])
    __main__.main()
    assert len([*tmp_path.glob("outputs/runs/synthetic_cs/hcn/admm/none/*/run.json")]) == 2

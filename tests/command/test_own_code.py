"""Code of a user's own: imported only if the command line names it, and only then from the current folder."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import ENV, forked, run
from jobs import job_of
from own import Net, T, body
from own_folders import SHEET, write_folder

import skeleton_adv as sa
from skeleton_adv import tasks
from skeleton_adv.command.cli import translated
from skeleton_adv.core.errors import SettingError
from skeleton_adv.runs.load import load_run

NET = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, num_classes, num_frames):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_classes, 3, num_frames, 20, 1))

    def forward(self, x):
        return torch.einsum("nctvm,kctvm->nk", x, self.weight)
"""
FEW = [f"dataset.num_frames={T}", "batch_size=5", "attack=pgd", "attack.steps=2", "runtime.device=cpu"]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a network, its weights and five clips of three classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "my_net", raising=False)
    (tmp_path / "my_net.py").write_text(NET)
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    clips = {f"c{number}": clip for number, clip in enumerate(body())}
    labels = "file,label\n" + "".join(f"{name}.npy,{number % 3}\n" for number, name in enumerate(clips))
    write_folder(tmp_path / "mine", labels, clips, SHEET)
    return tmp_path


def test_python_and_the_command_line_give_the_same_rows_for_own_clips_and_networks(desk: Path) -> None:
    words = ["dataset=folder", "dataset.root=mine", "model._target_=my_net.Net", "model.checkpoint=weights.pt", *FEW]
    folder = tasks.run(job_of(words))
    assert folder is not None
    theirs = load_run(folder)
    assert theirs is not None
    victim = sa.Victim(Net(), skeleton="kinect20", num_frames=T)
    given = sa.clips(body(), np.arange(5) % 3, skeleton="kinect20", unit="m", names=[f"c{n}" for n in range(5)])
    ours = sa.attack(victim, given, "pgd", steps=2, batch_size=5, device="cpu").run
    assert ours.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))
    loaded = sa.load_clips("folder", root="mine")
    again = sa.attack(sa.Victim(Net(), skeleton="kinect20", num_frames=T), loaded, "pgd", steps=2, batch_size=5).run
    assert again.records.drop(columns="seconds").equals(theirs.records.drop(columns="seconds"))


def test_the_short_form_chooses_the_option_own() -> None:
    long = ["model=own", "model.architecture._target_=a.B"]
    assert translated(["model._target_=a.B"]) == long
    assert translated(["model=mine", "model._target_=a.B"]) == ["model=mine", long[1]]
    surrogate = ["model@surrogate=own", "surrogate.architecture._target_=a.B"]
    assert translated(["surrogate._target_=a.B"]) == surrogate


@pytest.mark.parametrize("command", [["-m", "skeleton_adv"], ["skeleton-adv"]])
def test_a_module_of_the_current_folder_is_found_if_it_is_named(command: list[str], desk: Path) -> None:
    """By the module and by the installed command."""
    words = ["dataset=folder", "dataset.root=mine", "model._target_=my_net.Net", "model.checkpoint=weights.pt", *FEW]
    start = [sys.executable, *command] if command[0] == "-m" else [str(Path(sys.executable).parent / command[0])]
    if command[0] != "-m" and not Path(start[0]).exists():
        pytest.skip("the package is not installed, only on the path")
    done = subprocess.run([*start, *words], cwd=desk, env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "my_net.Net" in done.stdout


def test_a_module_that_is_named_like_a_library_is_not_imported(desk: Path) -> None:
    """``yaml`` is imported by every command; a file of that name in the current folder must not be."""
    (desk / "yaml.py").write_text("raise SystemExit('the wrong module')")
    done = run(desk, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert run(desk, "nowhere", module="skeleton_adv.tables").returncode == 2


OPTION = "# Mine\n_target_: my_attack.attack\n_partial_: true\n"
ATTACK = """
import pathlib, torch
from skeleton_adv.attacks import AttackResult, needs
pathlib.Path(__file__).with_name("imported").touch()

@needs("none")
def attack(model, batch, *, targeted: bool = False) -> AttackResult:
    return AttackResult(batch.x, torch.zeros(len(batch), dtype=torch.bool))
"""


@pytest.fixture
def option(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An option of the user's own whose file names a module of the current folder."""
    monkeypatch.delitem(sys.modules, "my_attack", raising=False)
    (desk / "conf/attack").mkdir(parents=True)
    (desk / "conf/attack/mine.yaml").write_text(OPTION)
    (desk / "my_attack.py").write_text(ATTACK)
    return desk


FAST = ["--config-dir", "conf", "attack=mine", "runtime.limit=1", "batch_size=1", "runtime.device=cpu"]


@pytest.mark.parametrize("trust", ["trust=my_attack", "attack._target_=my_attack.attack", "trust=[other,my_attack]"])
def test_a_file_may_name_a_module_that_the_command_line_trusts(trust: str, option: Path) -> None:
    done = forked(option, *FAST, trust)
    assert done.returncode == 0, done.stderr
    assert (option / "imported").exists()


@pytest.mark.parametrize("trust", [[], ["trust=my_atta"], ["trust=my"], ["trust=my_attack.attack"], ["trust=attack"]])
def test_any_other_module_is_not_imported(trust: list[str], option: Path) -> None:
    done = forked(option, *FAST, *trust)
    assert done.returncode == 2
    assert "attack._target_=my_attack.attack" in done.stderr and "trust=my_attack" in done.stderr
    assert done.stderr.count("\n") == 1 and not (option / "imported").exists()


def test_a_file_cannot_trust(option: Path) -> None:
    (option / "conf/experiment").mkdir()
    (option / "conf/experiment/sly.yaml").write_text("# @package _global_\n# Sly\nexperiment: sly\ntrust: my_attack\n")
    done = forked(option, *FAST, "experiment=sly")
    assert done.returncode == 2 and "only the command line may trust" in done.stderr
    assert not (option / "imported").exists()


@pytest.mark.parametrize("value", ["1", "my-module", "a..b", "[a,'b c']"])
def test_trust_names_modules(value: str) -> None:
    with pytest.raises(SettingError, match="trust="):
        job_of([f"trust={value}"])


DEFECTS = {
    "fails": "        return self.weight @ x",
    "one number too many": "        return torch.zeros(len(x), 9) + 0 * x.sum() + self.weight.sum()",
    "no gradient": "        return (x[:, :, 0, 0, 0].detach() @ self.weight[:, :, 0, 0, 0].T)",
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_network_with_a_defect_is_one_line(defect: str, desk: Path) -> None:
    lines = NET.splitlines()
    (desk / "my_net.py").write_text("\n".join([*lines[:-1], DEFECTS[defect]]))
    words = ["dataset=folder", "dataset.root=mine", "model._target_=my_net.Net", "model.checkpoint=weights.pt", *FEW]
    with pytest.raises(SettingError, match="the network Net") as raised:
        tasks.run(job_of(words))
    assert "\n" not in str(raised.value)


def test_the_code_of_a_network_is_part_of_the_identity(desk: Path) -> None:
    words = ["dataset=folder", "dataset.root=mine", "model._target_=my_net.Net", "model.checkpoint=weights.pt", *FEW]
    first = tasks.run(job_of(words))
    (desk / "my_net.py").write_text(NET + "# another version\n")
    assert tasks.run(job_of(words)) != first


def test_weights_of_own_clips_are_loaded_by_their_path(desk: Path) -> None:
    labels = (desk / "mine/labels.csv").read_text().replace("label\n", "label,split\n")
    split = [f"{line},{'train' if number < 3 else 'test'}" for number, line in enumerate(labels.splitlines()[1:])]
    (desk / "mine/labels.csv").write_text("\n".join(["file,label,split", *split]) + "\n")
    words = ["task=train", "dataset=folder", "dataset.root=mine", f"dataset.num_frames={T}", "recipe.epochs=1"]
    with pytest.raises(SettingError, match="num_frames"):
        tasks.run(job_of([*words, "model=hcn"]))  # HCN needs 16 frames
    tasks.run(job_of([*words[:3], "dataset.num_frames=16", words[-1], "model=hcn"]))
    (path,) = (desk / "outputs/checkpoints/mine").glob("*.safetensors")
    victim = sa.load_victim(path)
    assert (victim.num_frames, victim.num_classes, victim.skeleton.name) == (16, 3, "kinect20")
    given = sa.clips(body(), np.arange(5) % 3, skeleton="kinect20", unit="m")
    assert len(sa.attack(victim, given, "fgsm")) == 5
    named = sa.load_victim("hcn", dataset="folder", num_frames=16, overrides=["dataset.root=mine"])
    assert named.num_classes == 3

"""Messages for wrong commands: one line with the key and the way out."""

import errno
from pathlib import Path

import pytest

from skeleton_adv import __main__
from skeleton_adv.command import cli, options
from skeleton_adv.core.errors import SettingError


@pytest.mark.parametrize(
    ("words", "now"),
    [
        ("model.noise=0.25 seed=1", "training=noise training.sigma=0.25 seed=1"),
        ("-m model.noise=0.1,0.25", "-m training=noise training.sigma=0.1,0.25"),
        ("model.noise=0 model=hcn", "training=none model=hcn"),
        ("model.noise=0.0", "training=none"),
        ("surrogate.noise=0.1", "training@surrogate_training=noise surrogate_training.sigma=0.1"),
        ("surrogate.noise=0", ""),
        ("model.noises=1 +model.noise=1 --cfg job", "model.noises=1 +model.noise=1 --cfg job"),
        ("model.noise", "model.noise"),
        ("model.noise=abc", "training=noise training.sigma=abc"),
    ],
)
def test_old_settings_are_translated(words: str, now: str) -> None:
    assert cli.translated(words.split()) == now.split()


def test_contradictory_training_noise_is_refused() -> None:
    with pytest.raises(SettingError, match=r"model\.noise=0,0\.25"):
        cli.translated(["-m", "model.noise=0,0.25"])


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    words = ["model.checkpoint=~/x.pt", "dataset.root=~/a,~/b", "seed=~", "~defense.sigma", "a=b~/c"]
    assert cli.translated(words) == [
        *("model.checkpoint=/home/me/x.pt", "dataset.root=/home/me/a,/home/me/b"),
        *("seed=~", "~defense.sigma", "a=b~/c"),
    ]
    cli.check_arguments(cli.translated(words[:1]))


REFUSED = [
    ("-m", "-m"),
    ("--multirun", "-m"),
    ("experiment=table1 attack=pgd", "experiment=table1 sweeps attack.beta, which attack=pgd"),
    ("-m experiment=table1 attack=admm,pgd", "attack=pgd"),
    ("-m attack=admm,pgd attack.beta=1,2", "attack.beta"),
    ("attack=from_file", "attack.path is missing: set attack.path to the other run's folder"),
    ("attack.beta=${nope}", "attack.beta"),
    ("attack.beta='${nope}'", "attack.beta"),
    ("attack.beta=${attack.beta}", "attack.beta"),
    ("attack.beta=${nope:1}", "attack.beta"),
    ("-m seed=range(0,1e12)", "seed=range(0,1e12)"),
    ("~dataset", "~dataset"),
    ("--cfg nope", "--cfg nope"),
    ("--cfg", "--cfg needs a value"),
    ("-m=3", "-m takes no value"),
    ("model@other=hcn", "model@other"),
    ("surrogate.seed=1", "model@surrogate="),
    ("task=certify attack=pgd", "attack=pgd has no effect on task=certify: it is for task=attack"),
    ("task=certify attack.beta=1", "attack.beta has no effect on task=certify: it is for task=attack"),
    ("smoothing.n=3", "it is for task=certify"),
    ("recipe.epochs=1", "it is for task=train"),
    ("attack.beta=" + "[" * 3000, "key=value"),
]


@pytest.mark.parametrize(("words", "named"), REFUSED, ids=lambda text: text[:30])
def test_jobs_that_cannot_run_are_refused_in_one_line(words: str, named: str) -> None:
    with pytest.raises(SettingError) as caught:
        cli.check_arguments(words.split())
    assert named in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words", ["-m experiment=films", "experiment=table1", "-m model=hcn", "--cfg job attack=from_file", "--info"]
)
def test_jobs_that_can_run_are_accepted(words: str) -> None:
    cli.check_arguments(words.split())


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n" for before, name in zip("abcdef", "bcdefg", strict=True)
)
BROKEN = {
    "nested anchors": BOMB.encode(),
    "not UTF-8": b"a: \xff\xfe\n",
    "not YAML": b"a: [1\n",
    "deep": b"[" * 500 + b"]" * 500,
    "within itself": b"a: &a [*a]\n",
    "large": b"# " + b"x" * options.MAX_BYTES,
    "two documents": b"a: 1\n---\nb: 2\n",
    "tab": b"\ta: 1\n",
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("name", ["attack/mine.yaml", "deep/er/mine.yaml", "mine.yaml"])
def test_a_broken_file_of_a_folder_is_named_before_hydra_reads_it(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(content)
    for command in (cli.check_arguments, cli.help_text):
        with pytest.raises(SettingError) as caught:
            command(["--config-dir", str(tmp_path)])
        assert str(tmp_path / name) in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "MAX_ENTRIES", 3)
    for number in range(4):
        (tmp_path / f"{number}.txt").touch()
    with pytest.raises(SettingError, match="too many files"):
        cli.check_arguments(["--config-dir", str(tmp_path)])


def test_aliases_that_are_not_nested_are_allowed() -> None:
    options.check_text("a: &a {x: 1}\nb: *a\nc:\n  <<: *a\n")


PLACED = [
    ("outputs/runs/hcn/records.csv", [], ["runtime.output_dir"]),
    ("outputs/prepared", [], ["runtime.cache_dir"]),
    ("outputs/checkpoints/a/b.json", [], ["runtime.checkpoint_dir"]),
    ("outputs/tables/x.md", [], ["runtime.table_dir"]),
    ("outputs/figures/x.png", [], ["runtime.figure_dir"]),
    ("outputs/files", [], ["runtime.export_dir"]),
    ("/proc/nowhere", ["runtime.cache_dir=/proc/nowhere/deep"], ["runtime.cache_dir"]),
    ("/w/x.safetensors", ["model.checkpoint=/w/x.safetensors"], ["model.checkpoint"]),
    ("/etc/hosts", [], []),
    (None, [], []),
]
KEYS = [f"runtime.{name}_dir" for name in ("output", "cache", "checkpoint", "table", "figure", "export")]
KEYS += ["model.checkpoint", "dataset.root", "launcher.logs"]


@pytest.mark.parametrize(("path", "arguments", "keys"), PLACED, ids=str)
def test_only_the_setting_whose_folder_failed_is_named(
    path: str | None, arguments: list[str], keys: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    cli.fail(PermissionError(errno.EACCES, "Permission denied", path), arguments)
    shown = capsys.readouterr().err
    assert [key for key in KEYS if key in shown] == keys and shown.count("\n") == 1


def test_a_full_disk_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    for path, key in ((None, "error"), ("outputs/runs/x", "runtime.output_dir")):
        cli.fail(OSError(errno.ENOSPC, "No space left on device", path))
        shown = capsys.readouterr().err
        assert "disk is full" in shown and key in shown and shown.count("\n") == 1


def test_errors_of_a_launcher_give_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    words = ["-m", "attack.beta=1,2", "launcher=joblib", "launcher.logs=file/x"]
    monkeypatch.setattr("sys.argv", ["skeleton_adv", *words])
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2 and shown.count("\n") == 1 and "launcher.logs" in shown


def test_help_shows_the_settings_of_every_task() -> None:
    text = cli.help_text([])
    for key in (
        "targeted:",
        "batch_size:",
        "judgements:",
        "smoothing:",
        "n0:",
        "runtime:",
        "device:",
        "-m, --multirun",
    ):
        assert key in text
    assert "_target_" not in text and "defaults:" not in text and "hydra:" not in text
    for group, found in cli.groups().items():
        assert f"{group}=" in text and all(option in text for option in found if group != "recipe")

"""A part of the faults of ``scripts/faults.py``; all of them are slow."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from faults import damaged, fuzz, kills, numbers, storage
from faults.outcome import Outcome, is_one_line
from faults.place import Place

FEW = ("attack",)
COMMANDS = (
    "attack=admm model=hcn attack.beta=1 targeted=true",
    "task=certify model=hcn smoothing.n=100 smoothing.sigma=0.25",
    "-m attack=pgd,admm model=agcn dataset=utd_mhad runtime.limit=5",
    "experiment=table1 dataset=utd_mhad",
)
mounting = pytest.mark.skipif(not storage.can_mount(), reason="requires root on Linux, to mount a disk")


def check(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Every fault must have ended well."""
    listed = list(outcomes)
    assert all(outcome.injected for outcome in listed)
    assert [(outcome.fault, outcome.where, outcome.wrong) for outcome in listed if outcome.wrong] == []
    return listed


@pytest.fixture(scope="module")
def given(place: tuple[Path, list[str]]) -> Place:
    return Place(place[0], tuple(place[1]))


def test_a_killed_command_that_runs_again_ends_as_if_uninterrupted(given: Place, tmp_path: Path) -> None:
    check(kills.kills(given, tmp_path, 2, FEW))


@pytest.mark.more
def test_sigterm_loses_nothing(given: Place, tmp_path: Path) -> None:
    check(kills.terminations(given, tmp_path, 1, FEW))


@mounting
def test_a_full_disk_is_reported_and_the_run_goes_on_with_more_space(given: Place, tmp_path: Path) -> None:
    check(storage.full_disks(given, tmp_path, 2, FEW))


@pytest.mark.more
@mounting
def test_a_folder_that_cannot_be_written_is_reported(given: Place, tmp_path: Path) -> None:
    check(storage.read_only(given, tmp_path, FEW))


@pytest.mark.more
def test_two_processes_with_slow_renames_do_the_work_once(given: Place, tmp_path: Path) -> None:
    check(storage.together(given, tmp_path, (2,), FEW))


def test_a_changed_file_is_noticed_or_harmless(given: Place, tmp_path: Path) -> None:
    check(damaged.damaged(given, tmp_path, 2, ("records.csv, in its tables", "saved clips")))


@pytest.mark.more
def test_values_that_are_no_numbers_are_no_success(given: Place, tmp_path: Path) -> None:
    check(numbers.weights(given, tmp_path / "weights", 1))
    check(numbers.values(given, tmp_path / "values", 1, FEW))


def test_memory_that_runs_out_is_reported(given: Place, tmp_path: Path) -> None:
    check(numbers.memory(given, tmp_path, 1, FEW))


def test_changed_inputs_are_read_or_refused(tmp_path: Path) -> None:
    check(fuzz.readers(tmp_path, 10, ("NTU", "own clips", "prepared: pyskl")))
    check(fuzz.command_lines(10, COMMANDS))


def test_a_traceback_is_not_one_line() -> None:
    assert is_one_line("error: batch_size=0 must be in [1, 4096]\n")
    assert is_one_line("a warning\nerror: it is bad\n")
    assert not is_one_line("Traceback (most recent call last):\n  File x\nerror: it is bad\n")
    assert not is_one_line("error: it is bad\nand worse\n") and not is_one_line("")


@pytest.mark.more
def test_a_fault_that_ends_badly_is_counted(given: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that leaves other files than expected is found."""
    monkeypatch.setattr(kills, "differences", lambda folder, expected: ["records.csv"])
    (outcome,) = kills.terminations(given, tmp_path, 1, FEW)
    assert outcome.wrong and outcome.row()[4] == 1


@pytest.mark.slow
@pytest.mark.parametrize("task", kills.TASKS)
def test_kills_at_many_moments(task: str, given: Place, tmp_path: Path) -> None:
    check(kills.kills(given, tmp_path, 16, (task,)))

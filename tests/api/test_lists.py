"""``sa.list`` and the import of the package."""

import subprocess
import sys

import pytest

import skeleton_adv as sa
from skeleton_adv.command import cli

GROUPS = {
    "attacks": "attack",
    "victims": "model",
    "datasets": "dataset",
    "defenses": "defense",
    "detectors": "detector",
    "trainings": "training",
}


@pytest.mark.parametrize("what", GROUPS)
def test_every_option_is_listed_with_its_facts(what: str) -> None:
    table = sa.list(what)
    assert [*table.index] == sorted(cli.groups()[GROUPS[what]])
    empty = [(name, column) for column in table for name in table.index if not table.loc[name, column]]
    assert not empty


def test_shipped_weights_load_as_they_are_listed() -> None:
    table = sa.list("weights")
    assert {"synthetic_cs/hcn_t64_k60_s0", "utd_mhad/hcn_t32_k27_noise0.25_s0"} <= {*table.index}
    assert (table["accuracy"] > 0).all() and table["frames"].isin([32, 64]).all()
    row = table.loc["utd_mhad/hcn_t32_k27_noise0.25_s0"]
    assert (row["noise"], row["classes"], row["victim"]) == (0.25, 27, "hcn")
    victim = sa.load_victim(row["file"])
    assert (victim.num_classes, victim.num_frames) == (27, 32)


def test_importing_loads_no_torch_until_it_is_used() -> None:
    code = "import sys, skeleton_adv as sa; assert 'torch' not in sys.modules; sa.attack; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_exists() -> None:
    assert all(hasattr(sa, name) for name in sa.__all__) and {*sa.__all__} - {"__version__"} <= {*dir(sa)}
    with pytest.raises(AttributeError):
        _ = sa.nothing

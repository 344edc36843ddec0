"""An identity covers exactly the settings that can change a number."""

import pytest

from skeleton_adv.runs import identity as identities
from skeleton_adv.runs.identity import NEUTRAL, identity
from skeleton_adv.runs.provenance import provenance


def test_provenance_works_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    facts = provenance("cpu")
    assert facts["git_commit"] is None and facts["git_dirty"] is None and facts["versions"]["torch"]


def test_identity_depends_on_every_setting_but_not_on_order() -> None:
    settings = {"attack": {"beta": 1.0, "lr": 0.1}, "seed": 0}
    assert identity(settings, 2) == identity({"seed": 0, "attack": {"lr": 0.1, "beta": 1}}, 2)
    changed = [{**settings, "seed": 1}, {"attack": {"beta": 1.5, "lr": 0.1}, "seed": 0}, {**settings, "more": None}]
    assert len({identity(one, 2) for one in (settings, *changed)} | {identity(settings, 3)}) == 5


def test_a_later_key_with_its_neutral_value_does_not_change_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = {"_target_": "package.attack", "beta": 1.0}
    before = identity({"attack": attack}, 2)
    monkeypatch.setattr(identities, "NEUTRAL", {"package.attack.stop": None, "smoothing.stop": ()})
    assert identity({"attack": {**attack, "stop": None}}, 2) == before
    assert identity({"attack": {**attack, "stop": 5}}, 2) != before
    assert identity({"attack": {**attack, "_target_": "package.other", "stop": None}}, 2) != identity(
        {"attack": {**attack, "_target_": "package.other"}}, 2
    )
    assert identity({"smoothing": {"stop": ()}}, 2) == identity({"smoothing": {}}, 2)


@pytest.mark.parametrize("key", list(NEUTRAL))
def test_each_neutral_key_is_left_out_at_its_neutral_value_only(key: str) -> None:
    owner, _, name = key.rpartition(".")
    part = {"_target_": owner} if "." in owner else {}
    place = "attack" if part else owner
    without = identity({place: part}, 2)
    assert identity({place: {**part, name: NEUTRAL[key]}}, 2) == without
    assert identity({place: {**part, name: "another"}}, 2) != without

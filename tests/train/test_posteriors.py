"""Post-trainings that fit a posterior: what they move, what they store, and that a kill changes nothing."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from skeleton_adv.core.errors import SettingError
from skeleton_adv.data.clips import Prepared
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.posterior import Appended
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.train.ba import BA
from skeleton_adv.train.fit import fit
from skeleton_adv.train.post import PostTraining
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.tasar import TASAR

TRAININGS = {
    "tasar": TASAR(epochs=4, batch_size=6, leaps=5, copies=2),
    "released": TASAR(epochs=4, batch_size=6, leaps=5, copies=2, sampler="released", burn_in=0.0),
    "ba": BA(epochs=4, batch_size=6),
}
every = pytest.mark.parametrize("name", TRAININGS)


@pytest.fixture(scope="module")
def data(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    dataset = UTDMHAD(str(mat_folder))
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"))


def clean(data: Any) -> Network:
    torch.manual_seed(0)
    return build_network(partial(HCN, fc7=16), CenterPerFrame, data[0])


def trained(data: Any, training: PostTraining, scratch: Path, stop_after: int | None = None) -> Network:
    seen: list[str] = []

    def log(text: str) -> None:
        seen.append(text)
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    network, _ = fit(
        lambda: training.network(clean(data)),
        *data,
        training.recipe(Recipe()),
        seed=0,
        device="cpu",
        scratch=scratch,
        log=log,
        training=training,
    )
    assert isinstance(network, Network)
    return network


def state(network: Network) -> dict[str, Tensor]:
    return dict(network.model.state_dict())


@every
def test_a_variance_is_stored_and_the_frozen_part_does_not_move(name: str, data: Any, tmp_path: Path) -> None:
    network = trained(data, TRAININGS[name], tmp_path / "a")
    before, after = state(clean(data)), state(network)
    spreads = [value for key, value in after.items() if ".spread." in f".{key}"]
    assert spreads and all((value >= 0).all() for value in spreads) and any((value > 0).any() for value in spreads)
    assert network.has_posterior and not network.training
    prefix = "" if name == "ba" else "backbone."
    moved = [key for key, value in before.items() if not torch.equal(value, after[prefix + key])]
    # The statistics of batch normalisation stay those of the clean network.
    assert moved == [] if name != "ba" else moved and not any("running" in key for key in moved)


@every
def test_a_killed_one_ends_with_the_same_posterior(name: str, data: Any, tmp_path: Path) -> None:
    whole = state(trained(data, TRAININGS[name], tmp_path / "a"))
    for stop_after in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            trained(data, TRAININGS[name], tmp_path / f"b{stop_after}", stop_after)
        resumed = state(trained(data, TRAININGS[name], tmp_path / f"b{stop_after}"))
        assert {*resumed} == {*whole} and all(torch.equal(value, resumed[key]) for key, value in whole.items())


def test_the_copies_have_their_own_moments(data: Any, tmp_path: Path) -> None:
    """Each copy has a start and a path that the others do not share."""
    network = trained(data, TRAININGS["tasar"], tmp_path / "a")
    model = network.model
    assert isinstance(model, Appended)
    first, second = model.appended.first
    assert not torch.equal(first, second)
    spread = model.spread.get_buffer("first")
    assert (spread[0] > 0).any() and (spread[1] > 0).any() and not torch.equal(*spread)


def test_the_sampler_goes_to_the_prior_where_clips_say_nothing(data: Any, tmp_path: Path) -> None:
    """The first layer's weights of a class whose logit is never positive have the prior's standard deviation."""
    training = TASAR(epochs=20, batch_size=12, leaps=60, copies=2, lr=0.03, prior=0.05, gamma=0.0)
    network = trained(data, training, tmp_path / "a")
    model = network.model
    assert isinstance(model, Appended)
    spread = model.spread.get_buffer("first").sqrt()
    assert float(spread.median()) == pytest.approx(0.05, rel=0.3)


def test_a_network_that_returns_log_probabilities_is_refused(data: Any) -> None:
    network = clean(data)
    network.model.log_probabilities = True  # type: ignore[assignment]
    with pytest.raises(SettingError, match="training=tasar"):
        TASAR().network(network)

"""``task=identify`` from the command line: templates of a gallery, and the distances of an attack's clips to them."""

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from attacked import two_attacks
from conftest import make_batch
from jobs import job_of
from scipy.io import savemat
from torch import Tensor

from skeleton_adv import tasks
from skeleton_adv.core.errors import SettingError
from skeleton_adv.core.skeleton import KINECT20
from skeleton_adv.data.clips import Prepared, load_batch
from skeleton_adv.data.store import prepare
from skeleton_adv.data.utd_mhad import UTDMHAD
from skeleton_adv.defenses import none
from skeleton_adv.defenses.bone_projection import usual_lengths
from skeleton_adv.detectors.distances import distances
from skeleton_adv.evaluation.identify import Extractor, Gallery
from skeleton_adv.models.deep import deep
from skeleton_adv.models.hcn import HCN
from skeleton_adv.models.network import build_network
from skeleton_adv.models.preprocess import CenterPerFrame
from skeleton_adv.models.victim import Victim
from skeleton_adv.runs.load import load_run
from skeleton_adv.tasks.weights import weights_of

Made = tuple[Path, list[str], Path, Path]
SUBJECTS = ["of=subjects", "gallery='*_t1'", "probes='*_t2'"]


@pytest.fixture(scope="module")
def made(mat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return two_attacks(mat_folder, tmp_path_factory.mktemp("identify"))


def identified(made: Made, *more: str, judged: Path | None = None) -> pd.DataFrame:
    """The rows of an identification, which has the kind and the columns of one."""
    folder = tasks.run(job_of([*made[1], "task=identify", "batch_size=4", f"judged={judged or made[2]}", *more]))
    assert folder is not None
    run = load_run(folder)
    assert run is not None and run.kind == "identification"
    return pd.read_csv(folder / "identifications.csv")


def test_actions_are_identified_by_the_nearest_template_of_the_training_clips(made: Made) -> None:
    found = identified(made)
    places = sorted(name for name in found if name.startswith("clean_to_"))
    assert (found["clean_nearest"] == found[places].to_numpy().argmin(axis=1)).all()
    theirs = pd.read_csv(made[2] / "records.csv").set_index("index").loc[found["index"]].reset_index()
    assert found["name"].tolist() == theirs["name"].tolist() and found["l2"].tolist() == pytest.approx(theirs["l2"])
    fooled = theirs["adv_pred"] != theirs["label"]
    assert ((found["claimed"] >= 0) <= fooled).all() and (found["claimed"] != found["identity"]).all()


def test_the_target_of_an_attack_is_the_identity_that_it_claims(made: Made) -> None:
    found = identified(made, judged=made[3])
    aimed = found["label"] != found["target"]
    assert aimed.any() and found[aimed]["claimed"].nunique() == 1 and (found[~aimed]["claimed"] == -1).all()


def test_distances_are_those_to_the_means_of_the_features_of_training_clips(made: Made) -> None:
    job = job_of(made[1])
    prepared = prepare(job.dataset, made[0] / "cache", lambda clips, total: clips, 1)
    network = weights_of(job, job.victim).load(prepared)[0].eval()
    batch = load_batch(job.dataset, prepared, range(len(prepared.clips)))
    with torch.no_grad():
        features = deep(network, batch.x).stages[-1]
    train = torch.tensor([clip.split == "train" for clip in prepared.clips])
    for distance in ("l2", "cosine"):
        found = identified(made, f"distance={distance}").set_index("index")
        for label in range(3):
            name = job.dataset.classes[label]
            column = f"clean_to_{sorted(job.dataset.classes[:3]).index(name)}"
            template = features[train & (batch.y == label)].mean(dim=0)
            own = features[found.index.to_list()]
            cosine = 1 - torch.cosine_similarity(own, template[None])
            expected = (own - template).norm(dim=1) if distance == "l2" else cosine
            assert found[column].tolist() == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-5)


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> tuple[UTDMHAD, Prepared]:
    """Two trials of two actions by four subjects, who differ in the length of their bones only."""
    folder = tmp_path_factory.mktemp("bodies")
    rng = np.random.Generator(np.random.PCG64(0))
    for action, subject, trial in product((1, 2), (1, 2, 3, 4), (1, 2)):
        body = make_batch(1, 20, 1, KINECT20, seed=7).x[0, ..., 0].numpy() * (1 + 0.1 * subject)
        body[:, :, 7] += 0.02 * rng.normal(size=(3, 1))  # a hand, whose bone alone has another length in each clip
        savemat(folder / f"a{action}_s{subject}_t{trial}_skeleton.mat", {"d_skel": body.transpose(2, 0, 1)})
    dataset = UTDMHAD(str(folder), num_frames=16)
    return dataset, prepare(dataset, tmp_path_factory.mktemp("cache"), lambda clips, total: clips, 1)


def test_subjects_are_known_by_their_bones_and_not_if_all_bodies_are_alike(bodies: tuple[UTDMHAD, Prepared]) -> None:
    dataset, prepared = bodies
    victim = Victim(build_network(partial(HCN, fc7=16), CenterPerFrame, dataset), none, "cpu")
    who = [clip.name.split("_")[1] for clip in prepared.clips]
    gallery, probes = ([i for i, clip in enumerate(prepared.clips) if f"_t{t}" in clip.name] for t in (1, 2))
    known, batch = Gallery(dataset, prepared, gallery, who), load_batch(dataset, prepared, probes)
    alone = Extractor(victim, -1, "l2", "alone")
    nearest = distances(alone.features(batch)[0], known.templates(alone), "l2").argmin(dim=1)
    assert [known.names[place] for place in nearest] == [who[number] for number in probes]  # rank 1, all of them
    received: list[Tensor] = []
    victim.module.register_forward_pre_hook(lambda module, inputs: received.append(inputs[0]))
    usual = known.usual("cpu")
    Extractor(victim, -1, "l2", "normalised", usual).features(batch)
    Extractor(victim, -1, "l2", "kept").features(batch)
    normalised, kept = (usual_lengths(x, batch)[:, 0] for x in received)
    torch.testing.assert_close(normalised, usual.expand_as(normalised))
    assert (kept.amax(dim=0) > 1.2 * kept.amin(dim=0)).all() and torch.equal(received[1], batch.x)


def test_subjects_have_templates_and_claim_another_subject(made: Made) -> None:
    assert identified(made, *SUBJECTS, "bones=alone", "distance=l2")["name"].str.endswith("_t2").all()
    normalised = identified(made, *SUBJECTS, "bones=normalised")
    kept = identified(made, *SUBJECTS)
    assert not kept["clean_to_0"].equals(normalised["clean_to_0"])
    assert (kept["claimed"] != kept["identity"]).all() and (kept["claimed"] >= 0).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["of=subjects"], "gallery"),
        (["of=subjects", "gallery='*_t2'", "probes='*_t2'"], "share clips"),
        (["gallery='zzz*'"], "matches no clip"),
        (["layer=40"], "layer=40"),
        ([*SUBJECTS, "subject='_(x[0-9]+)_'"], "names no subject"),
        ([*SUBJECTS, "subject='_(s'"], "is no regular expression"),
    ],
)
def test_settings_without_meaning_give_one_line(made: Made, words: list[str], message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        identified(made, *words)
    assert "\n" not in str(caught.value)


def test_a_killed_identification_continues(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from skeleton_adv.evaluation.identify import Identification

    expected = identified(made, "layer=0").drop(columns="seconds")
    (folder,) = (path.parent for path in made[0].rglob("run.json") if _layer(path.parent) == 0)
    for path in folder.iterdir():
        path.unlink()
    rows, calls = Identification._rows, 0

    def dies(self: Identification, numbers: list[int]) -> list[dict[str, object]]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return rows(self, numbers)

    monkeypatch.setattr(Identification, "_rows", dies)
    with pytest.raises(KeyboardInterrupt):
        identified(made, "layer=0")
    monkeypatch.setattr(Identification, "_rows", rows)
    pd.testing.assert_frame_equal(identified(made, "layer=0").drop(columns="seconds"), expected)


def _layer(folder: Path) -> int | None:
    run = load_run(folder)
    return run.settings.get("layer") if run is not None and run.kind == "identification" else None

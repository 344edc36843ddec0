"""A small victim that is right on its clips, and two attacks on it with saved clips."""

from pathlib import Path

import torch
from jobs import job_of

from skeleton_adv import tasks
from skeleton_adv.data.clips import load_batch
from skeleton_adv.data.store import prepare
from skeleton_adv.models.network import build_network
from skeleton_adv.models.weights import save_weights


def two_attacks(mat_folder: Path, place: Path) -> tuple[Path, list[str], Path, Path]:
    """A folder, words of its data and a trained victim, and two attacks with saved clips."""
    words = [
        *("dataset=utd_mhad", f"dataset.root={mat_folder}", "dataset.num_frames=16", "runtime.device=cpu"),
        *(f"runtime.{name}_dir={place / name}" for name in ("output", "cache", "checkpoint")),
        *("model=hcn", "model.architecture.fc7=16"),
    ]
    words += [f"model.checkpoint={_trained(words, place)}"]
    attack = [*words, "attack=bim", "attack.eps=0.2", "attack.step=0.05", "attack.steps=6", "batch_size=4"]
    untargeted = tasks.run(job_of([*attack, "runtime.save_clips=true"]))
    targeted = tasks.run(job_of([*attack, "runtime.save_clips=true", "targeted=true", "target=1"]))
    assert untargeted is not None and targeted is not None
    return place, words, untargeted, targeted


def _trained(words: list[str], place: Path) -> Path:
    """The weights of a small victim that has learnt the test clips too."""
    torch.manual_seed(0)
    job = job_of(words)
    dataset, model = job.dataset, job.victim.model
    network = build_network(model.architecture, model.preprocess, dataset)
    prepared = prepare(dataset, place / "cache", lambda clips, total: clips, 1)
    batch = load_batch(dataset, prepared, range(len(prepared.clips)))
    optimiser = torch.optim.Adam(network.eval().parameters(), lr=0.003)
    for _ in range(300):
        logits = network(batch.x)
        if (logits.argmax(dim=1) == batch.y).all():
            break
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(logits, batch.y).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert (network(batch.x).argmax(dim=1) == batch.y).all()
    save_weights(network, place / "small.safetensors", {"test_accuracy": 1.0})
    return place / "small.safetensors"

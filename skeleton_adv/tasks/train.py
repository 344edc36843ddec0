"""``task=train``: a victim's weights, and what is known of them."""

import time
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock

from skeleton_adv.command.job import Job, checkpoint_name, model_settings
from skeleton_adv.core.errors import CheckpointError, SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.data.clips import Prepared
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.weights import save_weights
from skeleton_adv.runs.folder import identity, now, read_json
from skeleton_adv.tasks.checks import check_recipe
from skeleton_adv.tasks.resume import facts_of, prepared_clips, test_clips, times
from skeleton_adv.train.fit import Progress, Recipe, correct, fit

TRAINING = 1  # to be raised with a change of how victims are trained


def train(job: Job) -> None:
    """Train a victim by the configured recipe and write its weights, with what is known of them."""
    recipe = job.recipe
    if recipe is None:
        pair = f"model={job.choices['model']} dataset={job.choices['dataset']}"
        raise SettingError(f"no recipe for {pair}: choose one with recipe=...")
    check_recipe(job, recipe)
    device, prepared = job.runtime.torch_device(), prepared_clips(job)
    recipe_settings = asdict(recipe)
    if not (job.model.noise and recipe.noise_warmup):
        recipe_settings.pop("noise_warmup")  # of no effect
    settings = {"recipe": recipe_settings, "prepared": prepared.digest, **model_settings(job), "seed": job.model.seed}
    settings |= {"noise": job.model.noise} if job.model.noise else {}
    training = identity(settings, TRAINING)
    path = Path(job.model.checkpoint or Path(job.runtime.checkpoint_dir) / checkpoint_name(job))
    if path.suffix != ".safetensors":
        raise SettingError(f"model.checkpoint={path}: weights are written as .safetensors, so let its name end so")
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch, lock = path.parent / f".{path.stem}-{training}.pt", path.parent / f".{path.stem}.lock"
    with FileLock(lock):  # whatever is trained into this file
        if not _trained(path, training):
            start, began = now(), time.monotonic()
            clips = test_clips(job, prepared)  # an empty split shows before the hours of training
            network, progress = _fit(job, recipe, prepared, device, scratch)
            hits = correct(network, job.dataset, prepared, clips, job.batch_size)
            facts = {
                "epochs": progress.chosen or recipe.epochs,
                "held_out_accuracy": progress.held_out[progress.chosen - 1] if progress.held_out else None,
                "test_accuracy": sum(hits) / len(hits),
                "test_clips": len(hits),
            }
            facts = {**facts_of(job, settings, training, device), **facts, **times(start, began)}
            save_weights(network, path, facts, half=recipe.half)
            scratch.unlink(missing_ok=True)
            log(f"test accuracy {100 * sum(hits) / len(hits):.2f} % ({sum(hits)} of {len(hits)} clips): {path}")
    lock.unlink(missing_ok=True)


def _trained(path: Path, training: str) -> bool:
    """Whether these weights stand; raises ``CheckpointError`` if others do."""
    about = path.with_suffix(".json")
    if not path.exists():
        return False
    if about.exists() and read_json(about).get("identity") == training:
        log(f"nothing to do: {path} was trained with these settings")
        return True
    raise CheckpointError(f"{path} exists, trained otherwise: delete it or set model.checkpoint=PATH or model.seed")


def _fit(job: Job, recipe: Recipe, prepared: Prepared, device: str, scratch: Path) -> tuple[Network, Progress]:
    def build() -> Network:
        return build_network(job.model.architecture, job.model.preprocess, job.dataset)

    network, progress = fit(
        build,
        job.dataset,
        prepared,
        recipe,
        seed=job.model.seed,
        device=device,
        scratch=scratch,
        log=log,
        noise=job.model.noise,
    )
    assert isinstance(network, Network)
    if recipe.half:  # the accuracy to be stated is that of the weights as they are stored
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.copy_(value.half())
    return network, progress

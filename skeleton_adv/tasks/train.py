"""``task=train``: train a victim and write its weights with the facts about them."""

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

from skeleton_adv.command.job import Job
from skeleton_adv.core.errors import RunError, SettingError
from skeleton_adv.core.progress import log
from skeleton_adv.core.ranges import Range
from skeleton_adv.data.clips import Prepared
from skeleton_adv.models.network import Network, build_network
from skeleton_adv.models.weights import as_stored, save_weights
from skeleton_adv.runs.identity import identity
from skeleton_adv.runs.provenance import now
from skeleton_adv.tasks.resume import job_facts, prepared_clips, test_clips, times
from skeleton_adv.tasks.weights import Weights, checkpoint_name, clean_weights, gives_features, role_settings
from skeleton_adv.train.fit import correct, fit
from skeleton_adv.train.fitted import Fitted
from skeleton_adv.train.recipe import Recipe
from skeleton_adv.train.state import TrainingState

TRAINING = 1  # raise it if the training of victims changes


@dataclass(frozen=True)
class Task:
    """The training of a victim with a recipe."""

    batch_size: Annotated[int, Range("[1, 4096]")]
    recipe: Recipe | None = None

    def run(self, job: Job) -> None:
        """Train a victim and write its weights with their facts; do nothing if they exist."""
        recipe = self.check(job)
        clean = clean_weights(job) if job.victim.training.starts_clean else None
        device, prepared = job.runtime.torch_device(), prepared_clips(job)
        learnt = job.victim.training.learns_from(job.dataset, prepared, job.dataset_settings)
        settings = self.settings(job, prepared, clean)
        part = Fitted(self.path(job), identity(settings, TRAINING))

        def work(scratch: Path) -> Mapping[str, Any]:
            start, began = now(), time.monotonic()
            clips = test_clips(job, prepared)  # an empty split is an error before hours of training
            network, state = _fit(job, recipe, learnt, device, scratch, _builder(job, prepared, clean))
            facts: dict[str, Any] = {
                "epochs": state.chosen or recipe.epochs,
                "held_out_accuracy": state.held_out[state.chosen - 1] if state.held_out else None,
                **self._tested(job, network, prepared, clips),
                "history": [asdict(epoch) for epoch in state.history],
            }
            facts = {**job_facts(job, settings, part.identity, device), **facts, **times(start, began)}
            save_weights(network, part.path, facts, half=recipe.half)
            return facts

        facts = part.fit(work)
        if facts is None:
            log(f"nothing to do: {part.path} was trained with these settings")
        elif "test_accuracy" not in facts:
            log(f"trained without labels: {part.path}")
        else:
            hits, count = round(facts["test_accuracy"] * facts["test_clips"]), facts["test_clips"]
            log(f"test accuracy {100 * facts['test_accuracy']:.2f} % ({hits} of {count} clips): {part.path}")

    def _tested(self, job: Job, network: Network, prepared: Prepared, clips: list[int]) -> dict[str, Any]:
        """The accuracy on test clips; nothing for a network whose outputs are features."""
        if network.returns_features:
            return {}
        hits = correct(network, job.dataset, prepared, clips, self.batch_size)
        return {"test_accuracy": sum(hits) / len(hits), "test_clips": len(hits)}

    def settings(self, job: Job, prepared: Prepared, clean: Weights | None = None) -> dict[str, Any]:
        """Every setting that can change a weight; ``clean`` are the weights that the training starts from."""
        assert self.recipe is not None
        own = job.victim.training.identity()
        recipe = asdict(job.victim.training.recipe(self.recipe))
        if not own:  # there is no noise to increase
            recipe["noise_warmup"] = 0.0
        settings = {"recipe": recipe, "prepared": prepared.digest, **role_settings(job, job.victim)}
        start = {} if clean is None else {"clean": clean.digest}
        return {**settings, "seed": job.victim.model.seed, **own, **start}

    def check(self, job: Job) -> Recipe:
        """The recipe to follow; raises ``SettingError`` if there is none or if it does not fit this data."""
        if job.victim.members:
            raise SettingError("an ensemble is not trained as one: train each of its members with task=train")
        if self.recipe is None:
            pair = f"model={job.victim.option} dataset={job.choices.get('dataset')}"
            raise SettingError(f"no recipe for {pair}: choose one with recipe=...")
        job.victim.training.check(self.recipe)
        if gives_features(job.victim) is job.victim.training.supervised:
            returned = "features, which labels do not train" if gives_features(job.victim) else "logits"
            way_out = "training=contrastive" if gives_features(job.victim) else "model=contrastive_encoder"
            raise SettingError(
                f"model={job.victim.option} returns {returned}, but training={job.victim.training.name} uses "
                f"{'labels' if job.victim.training.supervised else 'none'}: choose {way_out}"
            )
        if any(self.recipe.rotation) and len(job.dataset.skeleton.coords) < 3:
            raise SettingError(
                f"recipe.rotation={list(self.recipe.rotation)} rotates joints about three axes, but {job.dataset.name} "
                "has joints in an image: set recipe.rotation=[0,0,0], or recipe.random_move=true instead"
            )
        return job.victim.training.recipe(self.recipe)

    def path(self, job: Job) -> Path:
        """Where the weights are written."""
        named = job.victim.model.checkpoint
        path = Path(named or Path(job.runtime.checkpoint_dir) / checkpoint_name(job, job.victim)).expanduser()
        if path.suffix != ".safetensors":
            raise SettingError(f"model.checkpoint={path}: weights are written as .safetensors: rename the file")
        return path


def _builder(job: Job, prepared: Prepared, clean: Weights | None) -> Callable[[], Network]:
    """A call that returns the network before its training: a new one, or one with the clean weights."""
    training = job.victim.training
    made = job.victim.model.architecture, job.victim.model.preprocess
    if clean is None:
        return lambda: training.network(build_network(*made, job.dataset))
    network = clean.load(prepared)[0]
    assert isinstance(network, Network)
    return lambda: training.network(copy.deepcopy(network))


def _fit(
    job: Job,
    recipe: Recipe,
    prepared: Prepared,
    device: str,
    scratch: Path,
    build: Callable[[], Network],
) -> tuple[Network, TrainingState]:
    network, state = fit(
        build,
        job.dataset,
        prepared,
        recipe,
        seed=job.victim.model.seed,
        device=device,
        scratch=scratch,
        log=log,
        training=job.victim.training,
    )
    assert isinstance(network, Network)
    if not all(value.isfinite().all() for value in network.state_dict().values() if value.is_floating_point()):
        key = "training" if job.victim.training.starts_clean else "recipe"
        raise RunError(f"the training of {job.victim.option} diverged: lower {key}.lr, or set recipe.clip_norm")
    if recipe.half:  # report the accuracy of the weights as stored
        for value in network.state_dict().values():
            value.copy_(as_stored(value))
    return network, state

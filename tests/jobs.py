"""Jobs as the command line builds them, without running them."""

from hydra import compose, initialize_config_dir

from skeleton_adv import tasks
from skeleton_adv.command import build, cli, recipes
from skeleton_adv.command.job import Job


def job_of(words: list[str]) -> Job:
    """The job that these arguments of a command line describe."""
    recipes.register()
    words = cli.translated(words)
    recipes.register()
    with initialize_config_dir(str(cli.CONF), version_base="1.3"):
        config = compose("config", words, return_hydra_config=True)
    choices = dict(config.hydra.runtime.choices)
    del config.hydra
    return build.build_job(config, choices, words, words, tasks.find)

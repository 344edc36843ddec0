"""What ``--help`` prints: the groups with their options, and the settings of every task."""

from pathlib import Path
from textwrap import wrap

from skeleton_adv.command import recipes
from skeleton_adv.command.compose import composed, groups, open_folders
from skeleton_adv.command.options import CONF

INTRODUCTION = """\
Attack, defend and certify skeleton-based action recognition. The victim is the network under attack.

  python -m skeleton_adv attack=admm model=hcn                one run
  python -m skeleton_adv -m attack.beta=0.1,1,10              a sweep: one run per value
  python -m skeleton_adv experiment=table1 dataset=utd_mhad   all runs for one of the paper's tables
  python -m skeleton_adv task=train dataset=utd_mhad          train a victim
  python -m skeleton_adv.tables outputs/runs                  show the tables of finished runs

Choose an option of a group with GROUP=OPTION. Set a value with KEY=VALUE, such as attack.beta=10.
The default option of each group is marked with *."""
SURROGATE = "model@surrogate=OPTION computes the attack on another network, the surrogate, and tries it on the victim."
CLOSING = """\
Flags:
  -m, --multirun       run every combination of values listed with commas
  --cfg job            show the full configuration of a run without running it
  --config-dir FOLDER  also use the options in FOLDER
  --version            show the version"""


def help_text(arguments: list[str]) -> str:
    """The groups and options, including those of ``--config-dir``, and the settings of every task."""
    folders = open_folders(arguments)
    options = groups(*folders)
    defaults = _defaults(options["task"], folders)
    lines = [INTRODUCTION]
    for group, titles in options.items():
        lines += ["", f"{group}="]
        lines += _recipes(folders) if group == recipes.GROUP else []
        for option, title in titles.items() if group != recipes.GROUP else ():
            lines.append(f"  {'*' if option == defaults.get(group) else ' '} {option:<18} {title}")
        lines += [f"    {SURROGATE}"] if group == "model" else []
    lines += ["", "Settings of every task, with their defaults (set a nested one with a dot: runtime.limit=100):", ""]
    lines += _indented(_settings(CONF / "config.yaml"))
    for task in options["task"]:
        path = next(path for folder in (CONF, *folders) if (path := folder / "task" / f"{task}.yaml").is_file())
        if settings := _settings(path):
            lines += ["", f"Settings of task={task}:", "", *_indented(settings)]
    return "\n".join([*lines, "", CLOSING])


def _defaults(tasks: dict[str, str], folders: tuple[Path, ...]) -> dict[str, str]:
    """Group -> its default option; a group that only some tasks have is found in their files."""
    found = dict(composed((), folders).hydra.runtime.choices)
    for task in tasks:
        found = {**composed((f"task={task}",), folders).hydra.runtime.choices, **found}
    return found


def _recipes(folders: tuple[Path, ...]) -> list[str]:
    """The recipes by name; models with the same names share a line."""
    lines = ["    The recipe of the chosen model and dataset is the default; recipe=MODEL/DATASET selects another one."]
    sharing: dict[tuple[str, ...], list[str]] = {}
    for model, names in recipes.entries(*folders).items():
        sharing.setdefault(tuple(names), []).append(model)
    for shared, models in sharing.items():
        named = ", ".join(name for name in shared if name != "default")
        rest = ("all other datasets" if named else "all datasets") + " use the recipe default"
        parts = [named, *([rest] if "default" in shared else [])]
        line = f"{', '.join(models)}: {'; '.join(filter(None, parts))}"
        lines += wrap(line, 110, initial_indent="    ", subsequent_indent="      ")
    return lines


def _settings(path: Path) -> list[str]:
    """The lines of a configuration file that are settings, without its title, its defaults and Hydra's part."""
    kept: list[str] = []
    inside = False
    for line in path.read_text(encoding="utf-8-sig").splitlines():
        if line[:1] not in ("", " ", "#", "-"):
            inside = line.partition(":")[0] not in ("defaults", "hydra", "task")
        kept += [line] if inside else []
    return kept


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}".rstrip() for line in "\n".join(lines).strip("\n").splitlines()]

"""The wording of messages, in one golden file: ``tests/golden/messages.json``, command -> message.

Other tests assert keys, values and exit codes, so that a new wording changes only this file.
Messages that list the options of a group are not included, because a new option would change them.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from jobs import job_of

from skeleton_adv.command import cli
from skeleton_adv.core.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "messages.json"
MESSAGES: dict[str, str] = json.loads(GOLDEN.read_text())


def message_of(command: str) -> str:
    """The message for a wrong command, as one line."""
    words = cli.translated(command.split())
    try:
        cli.check_arguments(words)
        job = job_of(words)
        task: Any = job.task
        task.check(job)
    except UserError as error:
        return " ".join(str(error).split())
    return ""


@pytest.mark.parametrize("command", list(MESSAGES))
def test_the_wording_of_messages(command: str) -> None:
    assert message_of(command) == MESSAGES[command] and MESSAGES[command]

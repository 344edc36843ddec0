"""The wording of messages, in one golden file: ``tests/golden/messages.json``, command -> what is said.

Other tests assert keys, values and exit codes. A message that is worded otherwise changes here alone.
Messages that list a group's options are not here, or an option more would change the file.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from jobs import job_of

from skeleton_adv.command import cli
from skeleton_adv.core.errors import UserError

GOLDEN = Path(__file__).parents[1] / "golden" / "messages.json"
SAID: dict[str, str] = json.loads(GOLDEN.read_text())


def said(command: str) -> str:
    """What a wrong command is answered, as one line."""
    words = cli.translated(command.split())
    try:
        cli.check_arguments(words)
        job = job_of(words)
        task: Any = job.task
        task.check(job)
    except UserError as error:
        return " ".join(str(error).split())
    return ""


@pytest.mark.parametrize("command", list(SAID))
def test_the_wording_of_messages(command: str) -> None:
    assert said(command) == SAID[command] and SAID[command]

"""The end of a command that fails: one line and an exit code."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from skeleton_adv.core.errors import UserError

LONG = 400  # characters of one word in an error


def shortened(text: str) -> str:
    """The text of an error with its very long words, such as a damaged value, cut in the middle."""

    def cut(word: re.Match[str]) -> str:
        return f"{word[0][:60]}...({len(word[0])} characters)...{word[0][-20:]}"

    return re.sub(rf"\S{{{LONG},}}", cut, text)


@contextmanager
def one_line(interrupted: str = "interrupted") -> Iterator[None]:
    """Exit with one line on the error stream: code 2 for a user's mistake, 130 (``interrupted``) after Ctrl-C.

    If the output is closed early, as by ``head``, exit with code 141 and print nothing.
    """
    try:
        yield
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UserError, OSError) as error:
        print(f"error: {shortened(str(error))}", file=sys.stderr)
        sys.exit(2)

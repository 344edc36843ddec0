"""What happened after faults: one line of a table per fault and place."""

import time
from collections import Counter
from dataclasses import dataclass, field

SAME = "the same files after the same command"
REFUSED = "refused in one line"
READ = "read"
MAX_LINE = 2000  # characters of an error


@dataclass
class Outcome:
    """How often a ``fault`` was injected ``where``, and how each ended; ``wrong`` describes the bad ends."""

    fault: str
    where: str
    ends: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    @property
    def injected(self) -> int:
        return sum(self.ends.values()) + len(self.wrong)

    def ended(self, how: str) -> None:
        self.ends[how] += 1
        self.seconds = time.monotonic() - self.began

    def failed(self, why: str) -> None:
        self.wrong.append(why)
        self.seconds = time.monotonic() - self.began

    def row(self) -> tuple[str, str, int, str, int, str]:
        """Fault, place, how often, what happened, how many ended badly, seconds."""
        happened = "; ".join(f"{how} ({count})" for how, count in self.ends.most_common())
        return self.fault, self.where, self.injected, happened, len(self.wrong), f"{self.seconds:.0f}"


def is_one_line(text: str) -> bool:
    """Whether the error stream of a command is one line that begins with ``error:``."""
    lines = [line for line in text.strip().splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("error: ")]
    others = [line for line in lines if "Traceback" in line or line.startswith("  File ")]
    return len(errors) == 1 and lines[-1] == errors[0] and len(errors[0]) < MAX_LINE and not others

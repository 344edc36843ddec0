"""The documents as a reader follows them: their code blocks and commands, in order."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

ROOT = Path(__file__).parents[1]
FOLLOWED = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
RECORDS = sorted((ROOT / "outputs/reference").rglob("*.md"))  # how results were made: too long to run here
COMMAND = re.compile(r"python -m skeleton_adv(?:\.(\w+))?(?=[ \n`]|$)([^`\n]*)")


class Step(NamedTuple):
    """One thing that a document tells its reader to do."""

    kind: Literal["python", "command"]
    text: str  # the code, or the words after ``python -m skeleton_adv``
    module: str = ""  # of a command: "", "tables", "figures" or "export"


def steps(path: Path) -> Iterator[Step]:
    """The Python blocks and the commands of a document, in order."""
    text = path.read_text()
    for part in re.split(r"^(```.*?^```)$", text, flags=re.MULTILINE | re.DOTALL):
        if part.startswith("```python"):
            yield Step("python", part.removeprefix("```python\n").removesuffix("```"))
        elif not part.startswith("```bibtex"):
            prose = re.sub(r"(`[^`\n]*)\n([^`\n]*`)", r"\1 \2", part)  # a command that continues on the next line
            for module, words in COMMAND.findall(prose):
                yield Step("command", words.partition("#")[0].strip(), module)


def commands(*paths: Path) -> list[str]:
    """The different command lines of ``python -m skeleton_adv`` in these documents."""
    found = {step.text for path in paths for step in steps(path) if step.kind == "command" and not step.module}
    return sorted(found)

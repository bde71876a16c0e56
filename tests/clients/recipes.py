"""The recipes of docs/clients.md: what a reader pastes, and what the page says it prints."""

import re
from dataclasses import dataclass

from clients.installed import ROOT, Workplace

PAGE = ROOT / "docs" / "clients.md"
ADDRESS = "http://127.0.0.1:8000"
ANSWERS = ("820", "1000")
"""Of the problems that the recipes ask; a line of output with one of them must come out as the page shows it."""

_OUTPUT = re.compile(r"```text\n(.*?)```", re.S)


@dataclass(frozen=True)
class Recipe:
    title: str
    language: str
    code: str
    output: str

    def run(self, workplace: Workplace, *, ours: bool = False) -> str:
        """What it prints here. `ours`: with our own Python, where the SDK is."""
        code = self.code.replace(ADDRESS, workplace.url)
        if self.language == "python":
            return workplace.run("python", "-", stdin=code, ours=ours)
        if self.language == "js":
            return workplace.run("node", "--input-type=module", "-", stdin=code)
        return workplace.run("bash", "-euo", "pipefail", "-c", code, ours=ours)

    @property
    def promised(self) -> list[str]:
        """The lines of output that do not depend on the weights' way of putting things."""
        return [line for line in lines(self.output) if any(answer in line for answer in ANSWERS)]


def lines(printed: str) -> list[str]:
    """Without the spaces that only lay a line out."""
    return [" ".join(line.split()) for line in printed.splitlines()]


def recipes() -> dict[str, Recipe]:
    """By title, in the page's order."""
    found = {}
    for section in re.split(r"^(?=## )", PAGE.read_text(), flags=re.M)[1:]:
        title = section.partition("\n")[0].removeprefix("## ").strip()
        code = re.search(r"```(python|js|sh)\n(.*?)```", section, re.S)
        output = _OUTPUT.search(section)
        if code and output:
            found[title] = Recipe(title, code[1], code[2], output[1])
    return found

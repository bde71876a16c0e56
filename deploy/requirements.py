"""What our packages need from others, one a line: `python requirements.py packages/reasonflux services/navigator`.

Image builds install these before the sources are copied, so that a change of the sources leaves that layer as it is.
An extra is named as pip does, `packages/reasonflux[embedded]`; `--without NAME` leaves a requirement out.
"""

import re
import sys
import tomllib
from pathlib import Path


def requirements(folder: str) -> set[str]:
    path, _, extras = folder.rstrip("]").partition("[")
    project = tomllib.loads((Path(path) / "pyproject.toml").read_text())["project"]
    optional = project.get("optional-dependencies", {})
    return {*project["dependencies"], *(each for extra in extras.split(",") if extra for each in optional[extra])}


def chosen(arguments: list[str]) -> list[str]:
    without, folders = set(), []
    words = iter(arguments)
    for word in words:
        if word == "--without":
            without.add(next(words))
        else:
            folders.append(word)
    every = set().union(*map(requirements, folders))
    names = {each: re.split(r"[^A-Za-z0-9-]", each)[0] for each in every}
    if unknown := without - set(names.values()):
        raise SystemExit(f"nothing requires {', '.join(sorted(unknown))}")
    return sorted(each for each, name in names.items() if name not in without and not name.startswith("reasonflux"))


if __name__ == "__main__":
    print("\n".join(chosen(sys.argv[1:])))

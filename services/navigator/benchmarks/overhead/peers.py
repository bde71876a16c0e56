"""The peers, each in a throw-away environment of its own: they are no requirements of this project.

What cannot be installed is left out of the benchmark, and the report says so.
"""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

INSTALL_SECONDS = 1_800


@dataclass(frozen=True)
class Peer:
    name: str
    requirements: tuple[str, ...]

    @property
    def label(self) -> str:
        return self.requirements[-1]


LANGGRAPH = Peer("langgraph", ("httpx==0.28.1", "langgraph==1.2.22"))
ITS_HUB = Peer("its_hub", ("its_hub[iaas]==1.2.0",))
OPTILLM = Peer("optillm", ("torch==2.13.0+cpu", "optillm==0.4.0"))
PY_SPY = Peer("py-spy", ("py-spy==0.4.3",))
PEERS = (LANGGRAPH, ITS_HUB, OPTILLM)
INDEX = ("--extra-index-url", "https://download.pytorch.org/whl/cpu")


def environment(peer: Peer, folder: Path) -> Path | None:
    """The Python of an environment that has the peer, made when it is missing; None when it cannot be installed."""
    python = folder / peer.name / "bin/python"
    installed = folder / peer.name / "installed"
    if not installed.exists():
        print(f"installing {peer.label} into {folder / peer.name} (once)", flush=True)
        if not (_made(folder / peer.name) and _installed(folder, peer, python)):
            return None
        installed.write_text(" ".join(peer.requirements))
    return python


def version(name: str, python: Path) -> str:
    site = next((python.parent.parent / "lib").glob("python*/site-packages"))
    return next((found.version for found in distributions(name=name, path=[str(site)])), "?")


def _made(folder: Path) -> bool:
    return subprocess.run([sys.executable, "-m", "venv", str(folder)], check=False).returncode == 0


def _installed(folder: Path, peer: Peer, python: Path) -> bool:
    """With uv, where pip's resolver takes longer than anyone waits: OptiLLM brings more than 200 packages."""
    tool = folder / "uv"
    if not (tool / "bin/uv").exists():
        _made(tool)
        subprocess.run([str(tool / "bin/pip"), "install", "-q", "uv"], check=False)
    uv, pip = tool / "bin/uv", python.parent / "pip"
    plain = [str(pip), "install", "-q", *peer.requirements]
    quick = [str(uv), "pip", "install", "-q", "--python", str(python), *peer.requirements]
    for command in [quick] if uv.exists() else [plain]:
        for extra in ((), INDEX):
            try:
                if subprocess.run([*command, *extra], check=False, timeout=INSTALL_SECONDS).returncode == 0:
                    return True
            except subprocess.TimeoutExpired:
                return False
    return False

"""The prompts of the baselines, one file each, rendered strictly."""

from importlib.resources import files
from string import Template


def render(name: str, **slots: str) -> str:
    """The prompt `name` with its slots filled. Raises KeyError for a slot that is not given."""
    text = files(__name__).joinpath(f"{name}.txt").read_text(encoding="utf-8")
    return Template(text).substitute(slots).strip()

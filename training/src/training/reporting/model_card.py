"""The README.md beside published weights: data, recipe, scores, limits. Nothing of it can be left out."""

from functools import cache
from typing import Annotated

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from pydantic import Field

from evaluation.estimates import Estimate
from evaluation.report import percent
from reasonflux.contracts import Contract

Told = Annotated[str, Field(min_length=1)]
Points = Annotated[tuple[Told, ...], Field(min_length=1)]


class Score(Contract):
    """A share of right answers with its interval, and what the weights before reached on the same problems."""

    name: Told
    right: Estimate
    before: Estimate | None = None


class Card(Contract):
    """What someone must know who runs the weights."""

    title: Told
    summary: Told
    license: Told = "apache-2.0"
    base_model: str | None = Field(default=None, description="what was fine-tuned; None for weights from scratch")
    tags: tuple[str, ...] = ("reasonflux", "mathematics")
    use: Told
    data: Points
    not_trained_on: Points
    recipe: Points
    scores: tuple[Score, ...] = Field(min_length=1)
    scores_on: str = Field(min_length=1, description="which problems the scores are taken on, and how")
    decision: str | None = Field(default=None, description="the gate's reason")
    limits: Points


def render(card: Card) -> str:
    """The card as Markdown with the front matter that model hubs read."""
    return _template().render(card=card, compared=any(score.before for score in card.scores))


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("training", "prompts"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    environment.filters["percent"] = percent
    environment.filters["cell"] = lambda text: " ".join(str(text).split()).replace("|", r"\|")
    return environment.get_template("card.jinja")

"""All strategies by their names: `direct`, `majority@8`, `mcts@16:branching=4,judge=prm`."""

import re
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from evaluation.strategies.beam import Beam
from evaluation.strategies.best_of_n import BestOfN
from evaluation.strategies.direct import Direct
from evaluation.strategies.executor import Executor
from evaluation.strategies.majority import Majority
from evaluation.strategies.mcts import Mcts
from evaluation.strategies.reasonflux import ReasonFlux
from reasonflux.errors import InvalidRequest

AnyStrategy = Annotated[
    Direct | Majority | BestOfN | Beam | Mcts | ReasonFlux | Executor, Field(discriminator="strategy")
]
STRATEGIES = {
    kind.model_fields["strategy"].default: kind
    for kind in (Direct, Majority, BestOfN, Beam, Mcts, ReasonFlux, Executor)
}
ON_SERVICES = ("reasonflux", "executor")
"""Strategies that call our services instead of the engine itself."""
_ADAPTER: TypeAdapter[AnyStrategy] = TypeAdapter(AnyStrategy)
_FORM = re.compile(r"(?P<name>\w+)(?:@(?P<n>\d+))?(?::(?P<options>.+))?")


def parse(text: str) -> AnyStrategy:
    """The strategy that a name tells. Raises InvalidRequest that says what there is."""
    match = _FORM.fullmatch(text.strip().replace("best-of-n", "best_of_n"))
    kind = STRATEGIES.get(match["name"]) if match else None
    if match is None or kind is None:
        hint = f"choose from {', '.join(STRATEGIES)}; such as majority@8 or mcts@16:branching=4"
        raise InvalidRequest(f"there is no strategy {text!r}", hint=hint)
    given: dict[str, Any] = {"strategy": match["name"]}
    if match["n"]:
        given["n"] = match["n"]
    for option in (match["options"] or "").split(",") if match["options"] else ():
        name, _, value = option.partition("=")
        given[name.strip()] = value.strip()
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        fault = error.errors()[0]
        options = ", ".join(name for name in kind.model_fields if name != "strategy")
        raise InvalidRequest(
            f"{text!r}: {fault['loc'][-1]}: {fault['msg']}", hint=f"{match['name']} takes {options}"
        ) from error


def label(strategy: AnyStrategy) -> str:
    """The shortest name that `parse` reads back."""
    options = strategy.model_dump(mode="json", exclude_defaults=True)
    options.pop("strategy", None)
    options.pop("n", None)
    count = f"@{strategy.n}" if hasattr(strategy, "n") else ""
    told = ",".join(f"{name}={str(value).lower()}" for name, value in options.items())
    return f"{strategy.strategy}{count}" + (f":{told}" if told else "")

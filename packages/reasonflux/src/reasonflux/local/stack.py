"""What the embedded stack consists of: a pure description, decided before anything is started."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from reasonflux.local.settings import ROLES, LocalSettings, Role

PROMPT_WINDOW = 2048
ENGINE_HINT = "free some memory or set the role's engine to another server: REASONFLUX_{role}_ENGINE_URL, _MODEL, _KEY"


@dataclass(frozen=True)
class HttpHealth:
    """Healthy when `url` answers 200."""

    url: str


@dataclass(frozen=True)
class RedisHealth:
    """Healthy when PING is answered with PONG (not while it still loads its data)."""

    host: str
    port: int


@dataclass(frozen=True)
class Process:
    """One child process: how to start it, when it is ready, what to say when it is not."""

    name: str
    title: str
    command: tuple[str, ...]
    health: HttpHealth | RedisHealth
    url: str
    port: int
    port_setting: str
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    after: tuple[str, ...] = ()
    """Names of the processes that must be ready before this one is started."""
    hint: str = "the log tells more"
    phases: tuple[tuple[str, str], ...] = ()
    """(text in the log, what it means), in the order in which they appear: shown while the process starts."""
    patience: float = 120.0
    """Seconds until it counts as too slow."""


@dataclass(frozen=True)
class Found:
    """What the machine offers, as the preflight found it."""

    python: Path
    redis_server: Path | None = None
    """None when REASONFLUX_REDIS_URL names a Redis."""
    libgomp: Path | None = None
    """torch's OpenMP library: vLLM wants it loaded before everything else."""


def plan(settings: LocalSettings, found: Found) -> tuple[Process, ...]:
    """The processes to start, dependencies first. The navigator is the last, and the one that clients talk to."""
    redis = (_redis(settings, found.redis_server),) if found.redis_server and not settings.redis_url else ()
    engines = tuple(_engine(settings, found, role) for role in settings.embedded_roles)
    return (*redis, *engines, *_services(settings, found, after=tuple(process.name for process in redis)))


def environment(settings: LocalSettings) -> dict[str, str]:
    """The REASONFLUX_ variables with which the services, and any client, find each other in this stack."""
    host = settings.host
    env = {
        "REASONFLUX_REDIS_URL": settings.redis_url or f"redis://{host}:{settings.redis_port}/0",
        "REASONFLUX_NAVIGATOR_URL": f"http://{host}:{settings.navigator_port}",
        "REASONFLUX_EXECUTOR_URL": f"http://{host}:{settings.executor_port}",
        "REASONFLUX_TEMPLATE_STORE_URL": f"http://{host}:{settings.template_store_port}",
        "REASONFLUX_CACHE_DIR": str(settings.home.absolute() / "cache"),
    }
    for role in ROLES:
        prefix = f"REASONFLUX_{role.upper()}"
        env[f"{prefix}_ENGINE_URL"] = settings.engine_url(role) or f"http://{host}:{_engine_port(settings, role)}/v1"
        env[f"{prefix}_ENGINE_MODEL"] = settings.engine_model(role)
        env[f"{prefix}_PROFILE"] = settings.profile(role)
        if key := settings.engine_key(role):
            env[f"{prefix}_ENGINE_KEY"] = key
    return env


def _engine_port(settings: LocalSettings, role: Role) -> int:
    return settings.navigator_engine_port if role == "navigator" else settings.executor_engine_port


def _redis(settings: LocalSettings, server: Path) -> Process:
    options = {
        "bind": settings.host,
        "port": str(settings.redis_port),
        "dir": str(settings.home.absolute() / "redis"),
        "appendonly": "yes",
        "appendfsync": "always",  # a committed event is on disk before anybody sees it
        "maxmemory-policy": "noeviction",
        "save": "",
        "daemonize": "no",
        "protected-mode": "yes",
    }
    command = (str(server), *(word for name, value in options.items() for word in (f"--{name}", value)))
    return Process(
        name="redis",
        title="Redis",
        command=command,
        health=RedisHealth(settings.host, settings.redis_port),
        url=f"redis://{settings.host}:{settings.redis_port}/0",
        port=settings.redis_port,
        port_setting="REASONFLUX_REDIS_PORT",
        hint="if its append-only file is damaged: repair it with redis-check-aof, or delete .reasonflux/redis",
        patience=60.0,
    )


VLLM_PHASES = (
    ("non-default args", "reading the model's configuration"),
    ("Initializing a V1 LLM engine", "starting the engine core"),
    ("Starting to load model", "loading the weights"),
    ("Warming up model for the compilation", "compiling the model"),
    ("Loading weights took", "warming up"),
    ("Starting vLLM server", "opening the port"),
)


NO_CHUNKS = "--no-enable-chunked-prefill"
"""On a CPU vLLM 0.32 dies of a request with a seed whose prompt is read in parts ("CPU Generator does not use offset"),
and it reads one in parts as soon as the prompts that arrive together are longer than one batch."""


def _engine(settings: LocalSettings, found: Found, role: Role) -> Process:
    port = _engine_port(settings, role)
    arguments = {
        "--model": str(settings.weights(role)),
        "--served-model-name": settings.engine_model(role),
        "--host": settings.host,
        "--port": str(port),
        "--block-size": "32",  # prompts are short: the default of 128 would leave most prefixes uncached
        "--dtype": "bfloat16",
        "--max-model-len": str(PROMPT_WINDOW),
    }
    if settings.traces_endpoint:
        arguments["--otlp-traces-endpoint"] = f"{settings.traces_endpoint.rstrip('/')}/v1/traces"
    flags = ["--enable-prompt-tokens-details", "--disable-uvicorn-access-log", NO_CHUNKS]
    if not settings.engine_compiled:
        flags.append("--enforce-eager")
    return Process(
        name=f"{role}-engine",
        title=f"{role}'s engine (vLLM)",
        command=(
            str(found.python),
            "-m",
            "reasonflux.local.vllm_server",
            *(word for pair in arguments.items() for word in pair),
            *flags,
        ),
        health=HttpHealth(f"http://{settings.host}:{port}/health"),
        url=f"http://{settings.host}:{port}/v1",
        port=port,
        port_setting=f"REASONFLUX_{role.upper()}_ENGINE_PORT",
        env=_engine_environment(settings, found, role),
        hint=ENGINE_HINT.format(role=role.upper()),
        phases=VLLM_PHASES,
        patience=400.0,
    )


def _engine_environment(settings: LocalSettings, found: Found, role: Role) -> dict[str, str]:
    """One thread per engine: in a model this small more of them only wait for each other, and engines share cores."""
    env = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_HOST_IP": "127.0.0.1",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "passive",
        "SPT_NOENV": "1",  # vLLM renames its processes; keep their environment readable (see process.py)
        "VLLM_CACHE_ROOT": str(settings.home.absolute() / "cache" / "vllm"),
    }
    if settings.traces_endpoint:
        env |= {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_SERVICE_NAME": f"vllm-{role}"}
    if found.libgomp:
        env["LD_PRELOAD"] = os.pathsep.join(filter(None, (str(found.libgomp), os.environ.get("LD_PRELOAD"))))
    return env


def _services(settings: LocalSettings, found: Found, *, after: tuple[str, ...]) -> tuple[Process, ...]:
    env = {**environment(settings), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "HF_HUB_OFFLINE": "1"}
    env["REASONFLUX_DRAIN_SECONDS"] = "3"  # whoever stops a stack on a machine of their own waits for it

    def service(name: str, package: str, port: int, *, after: tuple[str, ...] = ()) -> Process:
        address = ("--host", settings.host, "--port", str(port), "--timeout-graceful-shutdown", "5")
        return Process(
            name=name,
            title=name,
            command=(str(found.python), "-m", "uvicorn", f"{package}.app:create", "--factory", *address),
            health=HttpHealth(f"http://{settings.host}:{port}/readyz"),
            url=f"http://{settings.host}:{port}",
            port=port,
            port_setting=f"REASONFLUX_{name.upper().replace('-', '_')}_PORT",
            env=env,
            after=after,
            patience=400.0 if settings.embedded_roles else 60.0,  # ready only when the engine behind it is
        )

    return (
        service("template-store", "template_store", settings.template_store_port, after=after),
        service("executor", "executor", settings.executor_port),
        service("navigator", "navigator", settings.navigator_port, after=after),
    )

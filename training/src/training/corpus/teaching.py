"""The teacher stage on its real neighbours: an LLM server and the template store."""

from pathlib import Path

from reasonflux.contracts import Contract
from reasonflux.engine import OpenAIEngine, engine_http
from reasonflux.http import http_client
from reasonflux.store_client import TemplateStoreClient
from template_store import library as template_files
from training.corpus import teacher
from training.corpus.teacher import Progress, TeacherConfig
from training.running.parallel import aloud
from training.weights.serving import EngineRef, reached


class Teacher(Contract):
    """Which LLM teaches."""

    url: str
    model: str
    key_env: str | None = None


async def run(
    who: Teacher, pairs: Path, store: str, library: str, templates: Path, out: Path, concurrency: int
) -> Progress:
    """Trajectories for all pairs that have none yet. Raises InvalidRequest, EngineError, ServiceUnavailable."""
    config = TeacherConfig(pairs=pairs, library=library, concurrency=concurrency)
    known = {template.id: template for template in template_files.read(templates)}
    engine = reached(EngineRef(url=who.url, model=who.model, key_env=who.key_env))
    said = 0

    def tell(progress: Progress) -> None:
        nonlocal said
        done = progress.total - progress.left
        if done - said >= max(1, progress.total // 50):
            said = done
            aloud(f"teacher: {done}/{progress.total}, {progress.kept} kept, {progress.rejected} rejected")

    async with engine_http(engine) as line, http_client() as shop:
        search = TemplateStoreClient(shop, store)
        return await teacher.run(config, known, OpenAIEngine(line, engine), search, out, tell)

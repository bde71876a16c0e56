"""The template store as a process of its own, real but for its embeddings: `uvicorn small_store:create --factory`."""

from fastapi import FastAPI

from template_store import app
from template_store.testing import WordEmbedder


def create() -> FastAPI:
    return app.create(embedder=WordEmbedder())

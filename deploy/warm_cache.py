"""Embeds the library's templates into the store's cache, with the store's own settings: so a first start need not."""

import asyncio

from template_store import library
from template_store.retrieval.embedding import EmbeddingCache, Runtime, SentenceEmbedder
from template_store.retrieval.index import documents
from template_store.settings import Settings


async def warm(settings: Settings) -> int:
    """The number of texts whose embeddings are now kept. Makes the model's ONNX file too, if it is not there."""
    runtime = Runtime(settings.embedding_runtime)
    embedder = await SentenceEmbedder.open(settings.embedding_model, cache_dir=settings.cache_dir, runtime=runtime)
    try:
        texts = [text for each in library.read(settings.library_dir) for text in documents(each).values()]
        await EmbeddingCache(settings.cache_dir / "libraries" / settings.library).embed(embedder, texts)
    finally:
        embedder.close()
    return len(texts)


if __name__ == "__main__":
    print(f"{asyncio.run(warm(Settings()))} texts are embedded")

"""Finding the template that a step needs: embeddings, BM25, the ranking over both, and how it was fitted."""

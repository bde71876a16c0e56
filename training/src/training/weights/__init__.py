"""Weights as files and as engines: tokenizers, checkpoints, curves, versions, servers."""

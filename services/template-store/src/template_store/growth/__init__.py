"""How a library grows: drafts from solved problems, fresh variants of an example, the trial that a draft must pass."""

DRAFTED = "extracted"
"""The provenance of what an LLM drafted."""

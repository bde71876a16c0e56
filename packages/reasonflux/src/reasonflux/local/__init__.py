"""The embedded stack: Redis, two vLLM engines and the three services as child processes on one machine."""

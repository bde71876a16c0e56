"""The navigator over HTTP: sessions (ours), chat completions and responses (OpenAI's)."""

from navigator.api import chat, libraries, mathml, models, responses, sessions, showing

ROUTERS = (
    sessions.router,
    showing.router,
    chat.router,
    responses.router,
    models.router,
    libraries.router,
    mathml.router,
)

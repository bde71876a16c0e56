"""A session for people: its statements, its worked solution in Markdown, and what the engines were asked."""

from fastapi import APIRouter
from fastapi.responses import PlainTextResponse

from navigator.access.keys import Scope
from navigator.api.opening import Navigator
from navigator.worked import markdown
from reasonflux.contracts import Exchange, Statement
from reasonflux.errors import Forbidden

router = APIRouter(prefix="/v1/sessions", tags=["showing"])


class MarkdownResponse(PlainTextResponse):
    media_type = "text/markdown"


@router.get("/{session_id}/markdown", response_class=MarkdownResponse)
async def worked_solution(session_id: str, navigator: Navigator) -> MarkdownResponse:
    """The session as a worked solution."""
    return MarkdownResponse(markdown(await navigator.session(session_id)))


@router.get("/{session_id}/statements")
async def statements(session_id: str, navigator: Navigator) -> tuple[Statement, ...]:
    """The problem and the conversation before it, cut into the statements that `uses` of a step names."""
    return (await navigator.session(session_id)).statements


@router.get("/{session_id}/events/{seq}/exchange")
async def exchange(session_id: str, seq: int, navigator: Navigator) -> Exchange:
    """What an engine was asked and what it replied, where event `seq` came out of that. Needs the scope `prompts`."""
    if Scope.PROMPTS not in navigator.visit.caller.scopes:
        raise Forbidden("this API key may not see prompts", hint="use a key with the scope 'prompts'")
    entries = await navigator.journal.read(session_id)
    return await navigator.exchanges.of(session_id, entries[: max(0, seq)])

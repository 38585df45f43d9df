"""Owns the MCP face: one tool, `execute`, and three resources, by the official SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    GetPromptResult,
    InputRequiredResult,
    TextContent,
    Tool,
    ToolAnnotations,
)
from pydantic import Field

from billing_mcp import __version__
from billing_mcp.domain.errors import BillingError, InvalidArgument, NotFound
from billing_mcp.faces.asked import asked
from billing_mcp.faces.documents import MEDIA_TYPE, document_of
from billing_mcp.faces.loading import AppSource, loading
from billing_mcp.faces.scope import EXECUTION_ID
from billing_mcp.faces.slim import slimmed
from billing_mcp.kernel.answer import Answer, AnswerError
from billing_mcp.kernel.principal import Principal
from billing_mcp.kernel.registry import Registry
from billing_mcp.operations import REGISTRY
from billing_mcp.sandbox.stubs import all_stubs, signature_lines
from billing_mcp.settings import Settings

if TYPE_CHECKING:
    from billing_mcp.app import App

TOOL = "execute"

Code = Annotated[str, Field(description="A Python script. Its last expression, or a top-level return, is the result.")]
Preview = Annotated[bool, Field(description="Run it, roll back, and return the exact effects.")]
IdempotencyKey = Annotated[
    str, Field(description="With the same key a change happens once; repeating returns the first answer.")
]

_DESCRIPTION = """\
Runs a Python script against the billing system as one transaction: all commits, or nothing if it fails. {preview}

Functions take account_id=... and the arguments shown, by keyword, no await, and return a dict of the fields \
shown (... is more).
{signatures}
billing.help("{example}") tells all of one; billing.help() lists your accounts.

Amounts are exact decimal strings: compute with Decimal. Dates are ISO 8601, UTC. A refusal raises PermissionError, \
LookupError, ValueError or RuntimeError; its text starts with a stable code."""

_PREVIEW = "Preview changes first: preview=true."


Opened = Callable[[], AbstractAsyncContextManager[AppSource]]
Caller = Callable[["App", Context[AppSource]], Awaitable[Principal]]
"""Who is behind a request. Raises BillingError."""


def build_stdio_server(settings: Settings) -> MCPServer[AppSource]:
    """The server for standard input and output; it opens the app behind its first answers."""

    async def owner(app: App, _ctx: Context[AppSource]) -> Principal:
        return await app.local_principal()

    return build_server(settings, lambda: loading(settings), owner)


def build_server(settings: Settings, opened: Opened, caller: Caller) -> MCPServer[AppSource]:
    """The server for these settings, on an app that is opened with it; `caller` tells whose a request is."""
    registry = REGISTRY.without_writes() if settings.read_only else REGISTRY

    @asynccontextmanager
    async def lifespan(_server: MCPServer[AppSource]) -> AsyncIterator[AppSource]:
        async with opened() as source:
            yield source

    server = _Server(
        "billing-mcp",
        title="Billing",
        version=__version__,
        instructions="Call `execute` with a Python script. `billing.help()` in it lists functions and accounts. "
        "An answer's `followups` tell what came of payments after it committed.",
        lifespan=lifespan,
        log_level="WARNING",
    )
    _add_tool(server, registry, caller, read_only=settings.read_only)
    _add_resources(server, registry, caller)
    return server


class _Server(MCPServer[AppSource]):
    """The SDK's server, stricter: what it would ignore may be what an agent relied on."""

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[AppSource, Any] | None = None
    ) -> CallToolResult | InputRequiredResult:
        """Refuse arguments that do not exist or are of another kind: `preview="no"` must not end in a change."""
        if name != TOOL:
            return await super().call_tool(name, arguments, context)
        try:
            script = asked(arguments, of=TOOL)
        except InvalidArgument as error:
            return _result(_refused(error))
        return await super().call_tool(name, asdict(script), context)

    async def list_tools(self) -> list[Tool]:
        """The tool, with schemas that say the same in fewer bytes."""
        (tool,) = await super().list_tools()
        slim = {"input_schema": slimmed(tool.input_schema), "output_schema": slimmed(tool.output_schema or {})}
        return [tool.model_copy(update=slim)]

    async def get_prompt(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,  # noqa: ARG002 - the library's signature
        context: Context[AppSource, Any] | None = None,  # noqa: ARG002
    ) -> GetPromptResult | InputRequiredResult:
        """There is none; the SDK would answer that the server failed, and log it so."""
        raise MCPError(INVALID_PARAMS, f"there is no prompt {name[:100]!r}, nor any other")


def _add_tool(server: MCPServer[AppSource], registry: Registry, caller: Caller, *, read_only: bool) -> None:
    async def execute(
        code: Code, ctx: Context[AppSource], preview: Preview = False, idempotency_key: IdempotencyKey = ""
    ) -> Annotated[CallToolResult, Answer]:
        try:
            app = await ctx.request_context.lifespan_context()
            principal = await caller(app, ctx)
        except BillingError as error:
            return _result(_refused(error))
        answer = await app.run_script(principal, code, preview=preview, idempotency_key=idempotency_key)
        request = ctx.request_context.request
        if request is not None:
            request.scope[EXECUTION_ID] = answer.execution_id
        return _result(answer)

    server.add_tool(
        execute,
        name=TOOL,
        title="Run a billing script",
        description=_DESCRIPTION.format(
            preview="This server is read-only." if read_only else _PREVIEW,
            signatures=signature_lines(registry),
            example=next(iter(registry)),
        ),
        annotations=ToolAnnotations(
            read_only_hint=read_only, destructive_hint=not read_only, idempotent_hint=read_only, open_world_hint=False
        ),
    )


def _add_resources(server: MCPServer[AppSource], registry: Registry, caller: Caller) -> None:
    @server.resource("billing://stubs", title="Type stubs of all billing functions", mime_type="text/x-python")
    def stubs() -> str:
        return all_stubs(registry)

    @server.resource(
        "billing://executions/{execution_id}", title="The answer of an execution", mime_type="application/json"
    )
    async def execution(execution_id: str, ctx: Context[AppSource]) -> str:
        try:
            app = await ctx.request_context.lifespan_context()
            answer = await app.executor.stored_answer(await caller(app, ctx), execution_id)
        except BillingError as error:
            raise ResourceNotFoundError(str(error)) from None
        if answer is None:
            raise ResourceNotFoundError("there is no such execution of yours")
        return answer

    @server.resource(
        "billing://accounts/{account_id}/invoices/{invoice_id}.pdf",
        title="An invoice or credit note as PDF",
        mime_type=MEDIA_TYPE,
    )
    async def invoice(account_id: str, invoice_id: str, ctx: Context[AppSource]) -> bytes:
        try:
            app = await ctx.request_context.lifespan_context()
            document = await document_of(app, await caller(app, ctx), account_id, invoice_id)
        except NotFound as error:
            raise ResourceNotFoundError(str(error)) from None
        except BillingError as error:
            raise ResourceError(str(error)) from None
        return document.pdf


def _result(answer: Answer) -> CallToolResult:
    failed = answer.status == "failed"
    text = failure_text(answer) if failed else answer.to_json()
    return CallToolResult(
        content=[TextContent(type="text", text=text)], structured_content=answer.to_dict(), is_error=failed
    )


def _refused(error: BillingError) -> Answer:
    return Answer(status="failed", changed=False, execution_id="", error=AnswerError.of(error))


def failure_text(answer: Answer) -> str:
    """What went wrong, where, and how to mend it, for a model to read."""
    error = answer.error or AnswerError(code="internal_error", message="unknown")
    lines = [f"{error.code}: {error.message}"]
    if error.line is not None:
        lines.append(f"Line {error.line}: {error.source or ''}")
    if error.hint:
        lines.append(f"Hint: {error.hint}")
    lines.append("Nothing was changed." if answer.changed is False else "Whether it was changed is not known.")
    if answer.output:
        lines.append(f"Printed before:\n{answer.output}")
    return "\n".join(lines)

"""Owns `billing-mcp serve`: agents, over standard input and output or over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections.abc import Callable
from contextlib import closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from billing_mcp import terminal
from billing_mcp.cli.common import CatalogFile, Database, run, settings_with
from billing_mcp.domain.clock import iso
from billing_mcp.faces.mcp import build_stdio_server
from billing_mcp.faces.stdio import serve_stdio
from billing_mcp.logs import LogFormat, configure_logs
from billing_mcp.settings import Settings

if TYPE_CHECKING:
    from billing_mcp.app import App

app = typer.Typer(add_completion=False)

_HTTP = "Over HTTP"

_Transport = Annotated[
    Literal["stdio", "http"], typer.Option(help="stdio: for a client on this machine that starts us itself.")
]
_Permissions = Annotated[
    str | None,
    typer.Option(
        envvar="BILLING_MCP_PERMISSIONS", metavar="LIST", help="What agents may do: view, manage or view,manage."
    ),
]
_ReadOnly = Annotated[bool | None, typer.Option("--read-only", help="Nothing that changes anything exists for agents.")]
_Host = Annotated[
    str | None,
    typer.Option(envvar="BILLING_MCP_HOST", help="Default: 127.0.0.1, this machine only.", rich_help_panel=_HTTP),
]
_Port = Annotated[
    int | None,
    typer.Option(
        envvar="BILLING_MCP_PORT",
        min=0,
        max=65_535,
        help="Default: 8000; 0 takes any that is free.",
        rich_help_panel=_HTTP,
    ),
]
_AllowedHosts = Annotated[
    str | None,
    typer.Option(
        envvar="BILLING_MCP_ALLOWED_HOSTS",
        metavar="LIST",
        help="Names that clients reach us by, such as billing.example.com; others are refused.",
        rich_help_panel=_HTTP,
    ),
]
_AllowedOrigins = Annotated[
    str | None,
    typer.Option(
        envvar="BILLING_MCP_ALLOWED_ORIGINS",
        metavar="LIST",
        help="Web pages that may call us, such as https://app.example.com.",
        rich_help_panel=_HTTP,
    ),
]
_PublicUrl = Annotated[
    str | None,
    typer.Option(
        envvar="BILLING_MCP_PUBLIC_URL",
        metavar="URL",
        help="Where clients reach us, such as https://billing.example.com.",
        rich_help_panel=_HTTP,
    ),
]
_JsonResponse = Annotated[
    bool | None, typer.Option("--json-response", help="Answer in plain JSON, not in SSE.", rich_help_panel=_HTTP)
]
_LogFormatOption = Annotated[
    LogFormat | None,
    typer.Option(
        envvar="BILLING_MCP_LOG_FORMAT",
        help="Default: text; over HTTP json, unless standard error is a terminal.",
    ),
]
_WithWorker = Annotated[
    bool | None,
    typer.Option(
        "--worker/--no-worker",
        envvar="BILLING_MCP_WORKER",
        help="Do what falls due as well, as billing-mcp worker does. Default: yes.",
    ),
]


@app.command()
def serve(
    transport: _Transport = "stdio",
    permissions: _Permissions = None,
    read_only: _ReadOnly = None,
    host: _Host = None,
    port: _Port = None,
    allowed_hosts: _AllowedHosts = None,
    allowed_origins: _AllowedOrigins = None,
    public_url: _PublicUrl = None,
    json_response: _JsonResponse = None,
    log_format: _LogFormatOption = None,
    worker: _WithWorker = None,
    catalog: CatalogFile = None,
    database: Database = None,
) -> None:
    """Serve agents over MCP.

    On standard input and output the agent is the key in BILLING_MCP_KEY; without one, it is you, on
    all accounts of the database. Over HTTP every request must bring a key of its own (billing-mcp
    keys create), or a token of the authorization server that BILLING_MCP_OAUTH_ISSUER names; that
    needs --public-url and BILLING_MCP_OAUTH_JWKS_URL, too.
    """

    async def work() -> None:
        settings = settings_with(
            permissions=permissions,
            read_only=read_only,
            host=host,
            port=port,
            allowed_hosts=allowed_hosts,
            allowed_origins=allowed_origins,
            public_url=public_url,
            json_response=json_response,
            log_format=log_format,
            worker=worker,
            catalog=catalog,
            database=database,
        )
        _start_logs(settings.log_format, over_http=transport == "http")
        if transport == "http":
            await _serve_http(settings)
        else:
            await _serve_stdio(settings)

    run(work(), loop=_fast_loop())


def _start_logs(log_format: LogFormat | None, *, over_http: bool) -> None:
    """Over HTTP each request is a line of the log, whose readers are programs more often than people."""
    libraries = logging.getLogger().level
    as_json = over_http and not sys.stderr.isatty()
    configure_logs(
        level=min(libraries, logging.INFO) if over_http else libraries,
        libraries=libraries,
        log_format=log_format or ("json" if as_json else "text"),
    )


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """A loop that takes a fifth less for each of the many small steps of a call; Windows has none."""
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop


async def _serve_stdio(settings: Settings) -> None:
    # The SDK's thread waits for standard input and would outlast a KeyboardInterrupt; what
    # has not been committed is rolled back by the database.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if settings.catalog is not None:
        # The app is opened behind the first answers; prices that are wrong are to be seen before them. Those that
        # come with us are right, and who has no others does not wait for this import.
        from billing_mcp.catalog.loader import load_catalog

        load_catalog(settings.catalog)
    if sys.stdin.isatty():
        terminal.error_console().print("Waiting for an MCP client on standard input; Ctrl-C ends.")
    await serve_stdio(build_stdio_server(settings))


async def _serve_http(settings: Settings) -> None:
    # Only this transport needs a web server: loading it would double what stdio takes to start.
    from billing_mcp.app import App
    from billing_mcp.faces.http import MCP_PATH, listen, serve_http
    from billing_mcp.faces.metrics import Metrics
    from billing_mcp.faces.rates import Rates
    from billing_mcp.operations import REGISTRY

    metrics, rates = Metrics(REGISTRY), Rates(settings)
    with closing(listen(settings.host, settings.port)) as listener:
        async with App.open(settings, observer=metrics) as billing:
            host, port = listener.getsockname()[:2]
            url = f"http://{f'[{host}]' if ':' in host else host}:{port}{MCP_PATH}"
            say = partial(terminal.error_console().print, markup=False)
            for remark in await _remarks(billing):
                say(remark, style="yellow")
            ready = partial(say, f"Serving agents on {url} - Ctrl-C ends.")
            async with billing.worker(on_job=metrics.job_ended).running() if settings.worker else nullcontext():
                await serve_http(billing, metrics, rates, listener, on_ready=ready)
            say("Ended: what was running has been finished.")


async def _remarks(billing: App) -> list[str]:
    """What whoever has just started this will want to know before the first refusal."""
    settings, now = billing.settings, billing.clock()
    remarks = []
    async with billing.store.read(now) as tx:
        keys = await tx.keys.all()
        mark = await tx.test_clock.find()
    if mark is not None and settings.now is None:
        does = f"stands at {iso(now)} until it is advanced" if mark.stands_at else "can be advanced"
        remarks.append(f"This database is one for tests: its clock {does}. billing-mcp clock --help")
    if not settings.oauth_issuer and not any(
        key.revoked_at is None and (key.expires_at is None or key.expires_at > now) for key in keys
    ):
        remarks.append("Nobody has a key yet: billing-mcp keys create NAME --account ACCOUNT_ID")
    if settings.key is not None:
        remarks.append("BILLING_MCP_KEY is for standard input and output: here every request brings its own.")
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        remarks.append("This is plain HTTP beyond your machine: put a proxy with TLS in front of it.")
        if not (settings.allowed_hosts or settings.public_url):
            remarks.append("Clients reach it only by that address, or by localhost: name others with --allowed-hosts.")
    return remarks

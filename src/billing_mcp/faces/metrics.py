"""Owns what is measured, and how it is told to Prometheus. Every label has a small, closed set of values."""

from __future__ import annotations

import platform
from collections import Counter as Tally
from collections.abc import Callable, Container, Iterable, Sequence

import prometheus_client as prometheus
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response

from billing_mcp import __version__
from billing_mcp.domain.errors import BillingError
from billing_mcp.domain.holds import CaptureHold, ExpireHold, PlaceHold, ReleaseHold
from billing_mcp.domain.instructions import Instruction
from billing_mcp.domain.ledger import Posting
from billing_mcp.domain.messages import PauseMessage, ReportDelivery, ReportInbound, ResumeMessage, SendMessage
from billing_mcp.store.observer import Observer
from billing_mcp.store.posting.program import Done, Locked, Outcome

METRICS_PATH = "/metrics"

_ACTIONS = {
    PlaceHold: "place",
    CaptureHold: "capture",
    ReleaseHold: "release",
    ExpireHold: "expire",
    Posting: "post",
    SendMessage: "send",
    ReportDelivery: "report",
    ReportInbound: "inbound",
    PauseMessage: "pause",
    ResumeMessage: "resume",
}
_OK = "ok"
_UNKNOWN_FUNCTION = "unknown"
_EXECUTION_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15)
_BATCH_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_BATCH_SIZES = tuple(2**n for n in range(10))
_REQUEST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
_JOB_S = (0.001, 0.01, 0.1, 1, 10, 60)


class Metrics(Observer):
    """Counts what it hears. `functions` are the billing functions there are: others are counted as one."""

    def __init__(self, functions: Container[str]) -> None:
        self._functions = functions
        self.registry = registry = prometheus.CollectorRegistry()
        prometheus.ProcessCollector(registry=registry)
        prometheus.PlatformCollector(registry=registry)
        prometheus.GCCollector(registry=registry)
        build = prometheus.Info("billing_build", "What is running.", registry=registry)
        build.info({"version": __version__, "python": platform.python_version()})
        self._add_work(registry)
        self._add_requests(registry)

    def _add_work(self, registry: prometheus.CollectorRegistry) -> None:
        self._executions = prometheus.Counter(
            "billing_executions_total", "Executions that ended.", ["status"], registry=registry
        )
        self._execution_s = prometheus.Histogram(
            "billing_execution_seconds", "How long executions took.", buckets=_EXECUTION_S, registry=registry
        )
        self._calls = prometheus.Counter(
            "billing_calls_total", "Calls of billing functions.", ["function", "outcome"], registry=registry
        )
        self._refusals = prometheus.Counter(
            "billing_refusals_total",
            "Executions, single calls, instructions and requests that ended in an error.",
            ["code"],
            registry=registry,
        )
        self._holds = prometheus.Counter(
            "billing_holds_total", "Instructions on wallets that ended.", ["action", "outcome"], registry=registry
        )
        self._batch_size = prometheus.Histogram(
            "billing_batch_size", "How many instructions were committed together.",
            buckets=_BATCH_SIZES, registry=registry,
        )  # fmt: skip
        self._batch_s = prometheus.Histogram(
            "billing_batch_seconds", "How long batches took.", buckets=_BATCH_S, registry=registry
        )
        self._waiting = prometheus.Gauge(
            "billing_postings_waiting", "Instructions that wait, or are being carried out.", registry=registry
        )
        self._jobs = prometheus.Counter(
            "billing_jobs_total", "Jobs of the worker that ended.", ["topic", "outcome"], registry=registry
        )
        self._job_s = prometheus.Histogram(
            "billing_job_seconds", "How long jobs took.", ["topic"], buckets=_JOB_S, registry=registry
        )
        self._webhooks = prometheus.Counter(
            "billing_provider_webhooks_total", "Webhooks of payment providers that ended.", ["provider", "outcome"],
            registry=registry,
        )  # fmt: skip

    def _add_requests(self, registry: prometheus.CollectorRegistry) -> None:
        self._requests = prometheus.Counter(
            "billing_http_requests_total", "Requests that ended.", ["method", "route", "status"], registry=registry
        )
        self._request_s = prometheus.Histogram(
            "billing_http_request_seconds", "How long requests took.", ["route"],
            buckets=_REQUEST_S, registry=registry,
        )  # fmt: skip
        self._of_calls: dict[tuple[str, str | None], prometheus.Counter] = {}
        self._of_requests: dict[tuple[str, str, int], tuple[prometheus.Counter, prometheus.Histogram]] = {}

    def watch_waiting(self, waiting: Callable[[], int]) -> None:
        """Tell how many instructions wait by asking, whenever somebody wants to know."""
        self._waiting.set_function(waiting)

    def batch_ended(self, instructions: Sequence[Instruction], outcomes: Sequence[Outcome], seconds: float) -> None:
        """Count each action with its outcome."""
        self._batch_size.observe(len(instructions))
        self._batch_s.observe(seconds)
        for (action, outcome), times in Tally(map(_kind, instructions, outcomes)).items():
            if outcome is None:
                continue
            self._holds.labels(action, outcome).inc(times)
            if outcome not in (_OK, "replayed"):
                self._refusals.labels(outcome).inc(times)

    def instruction_refused(self, instruction: Instruction, error: BillingError) -> None:
        """Count it with those that came into a batch."""
        self._holds.labels(_ACTIONS[type(instruction.action)], error.code).inc()
        self._refusals.labels(error.code).inc()

    def execution_ended(self, status: str, seconds: float, code: str | None) -> None:
        """Count it by status; an error is a refusal, too."""
        self._executions.labels(status).inc()
        self._execution_s.observe(seconds)
        if code is not None:
            self._refusals.labels(code).inc()

    def calls_ended(self, calls: Iterable[tuple[str, str | None]]) -> None:
        """Count them by function and outcome."""
        for call, times in Tally(calls).items():
            counter = self._of_calls.get(call)
            if counter is None:
                counter = self._call_counter(*call)
            counter.inc(times)

    def _call_counter(self, function: str, code: str | None) -> prometheus.Counter:
        """Looked up in the library once for a function that there is: agents may call others by any name."""
        if function not in self._functions:
            return self._calls.labels(_UNKNOWN_FUNCTION, code or _OK)
        counter = self._of_calls[function, code] = self._calls.labels(function, code or _OK)
        return counter

    def refused(self, code: str) -> None:
        """Count it by its code."""
        self._refusals.labels(code).inc()

    def job_ended(self, topic: str, outcome: str, seconds: float) -> None:
        """Count it by topic and outcome."""
        self._jobs.labels(topic, outcome).inc()
        self._job_s.labels(topic).observe(seconds)

    def webhook_ended(self, provider: str, outcome: str) -> None:
        """Count it by provider and outcome."""
        self._webhooks.labels(provider, outcome).inc()

    def request_ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request over HTTP. `route` is a template, never a path."""
        kept = self._of_requests.get((method, route, status))
        if kept is None:  # looking them up in the library takes longer than counting
            kept = self._requests.labels(method, route, status), self._request_s.labels(route)
            self._of_requests[method, route, status] = kept
        requests, request_s = kept
        requests.inc()
        request_s.observe(seconds)

    def answer(self, request: Request) -> Response:
        """All of it, in the exposition that the reader asks for. Starlette runs this in a thread."""
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except TypeError:  # the library cannot compare a version that is no number
            encode, content_type = choose_encoder("")
        return Response(encode(self.registry), headers={"content-type": content_type, "cache-control": "no-store"})


def _kind(instruction: Instruction, outcome: Outcome) -> tuple[str, str | None]:
    action = _ACTIONS[type(instruction.action)]
    if isinstance(outcome, Done):
        return action, "replayed" if outcome.receipt.replayed else _OK
    return action, None if isinstance(outcome, Locked) else outcome.code

"""Figures for the operator, as Prometheus text at /metrics. Counted over all merchants, naming none."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

REQUESTS = Counter("groupbook_requests", "Answered requests.", ["method", "route", "status"], registry=REGISTRY)
REQUEST_SECONDS = Histogram(
    "groupbook_request_seconds",
    "Time to answer a request.",
    ["method", "route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
    registry=REGISTRY,
)
ROWS = Gauge(
    "groupbook_rows",
    "Rows that somebody still owes something to: pending ones a worker, parked ones a person.",
    ["kind"],
    registry=REGISTRY,
)
OLDEST = Gauge(
    "groupbook_oldest_seconds",
    "Age of the oldest row that a worker still owes something to: calls to the outside, facts somebody must hear.",
    ["kind"],
    registry=REGISTRY,
)

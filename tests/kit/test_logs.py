"""Logs are JSON lines with the ids of what is going on, and without anybody in them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from groupbook.kit import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    told = io.StringIO()
    logs.configure(stream=told)
    yield told
    root.handlers[:] = before
    root.setLevel(level)
    logging.getLogger("uvicorn.access").disabled = False
    structlog.reset_defaults()


def test_a_line_is_json_with_the_bound_ids(stream: io.StringIO) -> None:
    with logs.bound(request_id="req_1", trip_id="trip_1"):
        structlog.get_logger("groupbook.trips").info("vote_cast", seq=7)
        logging.getLogger("somebody.else").warning("strange: %s", "é")
    ours, theirs = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert (ours["event"], ours["seq"], ours["level"]) == ("vote_cast", 7, "info")
    assert (ours["request_id"], ours["trip_id"]) == ("req_1", "trip_1")
    assert ours["at"].endswith("Z")
    assert (theirs["event"], theirs["request_id"]) == ("strange: é", "req_1")


def test_personal_data_and_secrets_are_blacked_out(stream: io.StringIO) -> None:
    told = {"email": "ana@example.org", "name": "Ana", "token": "s3cret", "authorization": "Bearer gb_test_x"}
    structlog.get_logger("groupbook.people").info("slip", **told)
    logging.getLogger("other").info("slip", extra={"password": "hunter2"})
    text = stream.getvalue()
    assert not any(value in text for value in (*told.values(), "hunter2"))
    assert "(not logged)" in text


def test_an_exception_is_one_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        structlog.get_logger("groupbook.kit").exception("failed")
    [line] = stream.getvalue().splitlines()
    assert "ValueError" in json.loads(line)["exception"]

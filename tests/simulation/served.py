"""The outside of many histories, served to other processes over one local socket.

The twins live in the process that outlives everybody. A worker's adapter is a `Remote`: a call is one connection, one
question, one answer; no answer in time is what it is on a real network.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Client, Connection, Listener
from typing import Any, Final

from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import GroupbookError, OutcomeUnknown, Unavailable

SILENCE: Final = object()  # what a side returns when the answer is lost on its way
_READING: Final = ("observe", "read", "list", "search", "occasions", "seat_map", "capabilities")
connect_seconds_max: Final = 1.0


@dataclass
class Served:
    """The server: `sides[history, name]` answers by its methods, one call of a history at a time."""

    address: str
    sides: dict[tuple[int, str], Any] = field(default_factory=dict)
    _locks: dict[int, threading.RLock] = field(default_factory=dict)
    _listener: Listener | None = None

    def __enter__(self) -> Served:
        self._listener = Listener(self.address, "AF_UNIX", backlog=128)
        threading.Thread(target=self._accept, name="outside", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._listener is not None:
            self._listener.close()

    def lock(self, history: int) -> threading.RLock:
        """Held by whoever looks into or changes the books of this history's outside."""
        return self._locks.setdefault(history, threading.RLock())

    def _accept(self) -> None:
        while self._listener is not None:
            try:
                connection = self._listener.accept()
            except OSError:
                return  # closed
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: Connection) -> None:
        with connection:
            try:
                history, side, method, args, kwargs = connection.recv()
                answer = self._answer(history, side, method, args, kwargs)
                if answer is not SILENCE:
                    connection.send(answer)
            except (EOFError, OSError):
                return  # the worker was killed in the middle of its call

    def _answer(self, history: int, side: str, method: str, args: Any, kwargs: Any) -> Any:
        ask: Callable[..., Any] = getattr(self.sides[history, side], method)
        with self.lock(history):
            try:
                answer = ask(*args, **kwargs)
            except GroupbookError as error:
                return "raised", (type(error), error.args, error.__dict__)
        return SILENCE if answer is SILENCE else ("answered", answer)


@dataclass(frozen=True)
class Remote:
    """A port, as a worker process has it: every method asks the server."""

    address: str
    history: int
    side: str
    livemode: bool = False

    def __getattr__(self, method: str) -> Callable[..., Any]:
        if method.startswith("_"):
            raise AttributeError(method)

        def ask(*args: Any, **kwargs: Any) -> Any:
            return self._ask(method, args, kwargs)

        return ask

    def _ask(self, method: str, args: Any, kwargs: Any) -> Any:
        forbid_in_transaction(f"remote {method}")
        seconds = kwargs.get("timeout_seconds", connect_seconds_max)
        unheard = Unavailable if method.startswith(_READING) else OutcomeUnknown
        try:
            connection = Client(self.address, "AF_UNIX")
        except OSError as error:
            raise Unavailable(what=method, error=repr(error)) from error
        with connection:
            try:
                connection.send((self.history, self.side, method, args, kwargs))
                if not connection.poll(seconds):
                    raise unheard(what=method)
                kind, answer = connection.recv()
            except (EOFError, OSError) as error:
                raise unheard(what=method, error=repr(error)) from error
        if kind == "answered":
            return answer
        made, params, facts = answer
        refusal = made.__new__(made)
        refusal.args = params
        refusal.__dict__.update(facts)
        raise refusal

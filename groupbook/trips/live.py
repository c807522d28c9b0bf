"""The live log on its way to many readers: one LISTEN connection per process, one read per trip and change, the bytes
made once, and no queue per reader.

A trip's *channel* hears of a change by NOTIFY (address and seq only), reads what is new together with who may see it,
and writes the same bytes to every reader of equal sight. A reader that cannot take them at once finishes alone and then
catches up: from the channel's ring, else from the database, else by one `snapshot`. A lost NOTIFY loses nothing: every
keep-alive reads again. Asynchronous, because thousands wait here and nothing is computed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import types
from collections import defaultdict, deque
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
    Generator,
    Mapping,
    MutableMapping,
)
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool

from groupbook.kit.callers import Caller
from groupbook.kit.database import APP_ROLE, libpq_url
from groupbook.kit.errors import Unavailable
from groupbook.kit.ids import MemberId, MerchantId, TripId, to_wire
from groupbook.trips.domain import (
    MembersShown,
    Privacy,
    Role,
    Sight,
    TripEvent,
    Visibility,
    VotesShown,
    redact,
    replay_events_max,
    sight_of,
)
from groupbook.trips.hot import HotPool
from groupbook.trips.repository import CHANNEL

log = structlog.get_logger(__name__)
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# Of these sessions and API keys of one merchant, those that still work. Synchronous.
StillGood = Callable[[MerchantId, Collection[UUID]], Collection[UUID]]

retry_milliseconds: Final = 2_000
ring_events_max: Final = 256
listen_seconds: Final = 30.0  # how long we go on listening after the last reader left, at most
readers_per_turn: Final = 250
KEEP_ALIVE: Final = b": keep-alive\n\n"
END: Final = b"event: end\ndata: {}\n\n"


# --- who may read ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ReaderSeat:
    member_id: MemberId
    role: Role
    has_left: bool
    has_voted: bool


@dataclass(frozen=True, slots=True)
class Access:
    """Who may see what of one trip, as of one reading of the database."""

    privacy: Privacy
    seats: Mapping[UUID, ReaderSeat]  # by person or guest

    def sight(self, caller: Caller) -> Sight | None:
        if caller.kind in ("merchant", "staff"):
            return Sight(member_ids=True, member_count=True, votes=True)
        seat = self.seats.get(caller.subject) if caller.subject is not None else None
        if seat is None or seat.has_left:
            return sight_of(self.privacy, None)
        return sight_of(self.privacy, seat.role, has_voted=seat.has_voted)

    def had_access(self, caller: Caller) -> bool:
        """Whether this caller once sat here, so that their stream should not be tried again."""
        return caller.subject in self.seats


# --- bytes ----------------------------------------------------------------------------------------------------------


def encode(event: TripEvent, sight: Sight) -> bytes:
    """One event as server-sent bytes, redacted for this sight."""
    type, payload = redact(event.type, event.payload, sight)
    document = {
        "seq": event.seq,
        "type": type,
        "at": event.at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "actor_id": to_wire("mem", event.actor_id) if event.actor_id and sight.member_ids else None,
        "payload": payload,
    }
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f"id: {event.seq}\nevent: {type}\ndata: {data}\n\n".encode()


def encode_snapshot(seq: int) -> bytes:
    """Too far behind, or new here: read the whole trip again; the log goes on after `seq`."""
    return f'id: {seq}\nevent: snapshot\ndata: {{"seq":{seq},"type":"snapshot"}}\n\n'.encode()


# --- a reader -------------------------------------------------------------------------------------------------------


@dataclass(eq=False, slots=True)
class Reader:
    """One open stream. `cursor` is the last seq it was given; `busy` holds the task that is still writing to it."""

    caller: Caller
    send: Send
    sight: Sight
    cursor: int
    opened_at: float
    task: asyncio.Task[Any] | None
    access: Access | None = None
    busy: asyncio.Task[None] | None = None
    busy_since: float = 0.0
    ended: bool = False


def _start(coroutine: Coroutine[Any, Any, None]) -> Any:
    """Run a coroutine until its first wait, without a task: what it waits for, or None when it is done.

    Writing to a reader hardly ever waits, so a thousand readers cost a thousand calls and not a thousand wake-ups
    (Python 3.12 has the same idea as eager tasks).
    """
    try:
        return coroutine.send(None)
    except StopIteration:
        return None


@types.coroutine
def _finish(coroutine: Coroutine[Any, Any, None], waiting: Any) -> Generator[Any, Any, None]:
    """Go on with a coroutine that `_start` began, from inside a task."""
    while True:
        thrown: BaseException | None = None
        value: Any = None
        try:
            value = yield waiting
        except BaseException as error:  # noqa: BLE001 - handed on to the coroutine, whatever it is
            thrown = error
        try:
            waiting = coroutine.send(value) if thrown is None else coroutine.throw(thrown)
        except StopIteration:
            return


# --- a trip's channel -----------------------------------------------------------------------------------------------


class Channel:
    """The readers of one trip in this process."""

    def __init__(self, hub: Hub, merchant_id: MerchantId, trip_id: TripId) -> None:
        self._hub = hub
        self.merchant_id = merchant_id
        self.trip_id = trip_id
        self.readers: set[Reader] = set()
        self.access: Access | None = None
        self.seq = 0  # the last event that every reader has been offered
        self.latest = 0  # the last event we know of; a moment ahead of `seq` while it is being read
        self._ring: deque[TripEvent] = deque(maxlen=ring_events_max)
        self._encoded: dict[tuple[int, Sight], bytes] = {}
        self._pump: asyncio.Task[None] | None = None
        self._again = False

    def poke(self) -> None:
        """Something may be new; many pokes are one read."""
        self._again = True
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._run())

    async def load(self) -> bool:
        """Read where the trip stands and who may see it, before the first reader. False: no such trip."""
        news = await self._hub.read(self.merchant_id, self.trip_id, after=None, limit=0)
        if news is None:
            return False
        self.access = news.access
        self.seq = self.latest = news.seq
        return True

    async def _run(self) -> None:
        while self._again:
            self._again = False
            try:
                news = await self._hub.read(self.merchant_id, self.trip_id, after=self.seq, limit=ring_events_max)
            except psycopg.Error as error:
                log.warning("live_read_failed", trip_id=to_wire("trip", self.trip_id), error=type(error).__name__)
                return  # the next NOTIFY or keep-alive reads again
            if news is None:
                return
            self.access = news.access
            self.latest = max(self.latest, news.seq)
            self._take(news.events)
            self._again = self._again or self.seq < news.seq
            await self._broadcast()

    def _take(self, events: list[TripEvent]) -> None:
        for event in events:
            if event.seq == self.seq + 1:  # the log has no gaps; a second reading of the same rows is not news
                self._ring.append(event)
                self.seq = event.seq
        oldest = self._ring[0].seq if self._ring else 0
        self._encoded = {key: value for key, value in self._encoded.items() if key[0] >= oldest}

    async def _broadcast(self) -> None:
        for count, reader in enumerate(tuple(self.readers), start=1):
            if reader.busy is None and not reader.ended:
                self.write(reader)
            if count % readers_per_turn == 0:
                await asyncio.sleep(0)

    def write(self, reader: Reader) -> None:
        """Give a reader what it has not seen; if it cannot take it at once, it goes on by itself."""
        if not self.refresh(reader):
            return
        if reader.cursor >= self.seq:
            return
        chunk = self._since(reader.cursor, reader.sight)
        if chunk is None:
            self.detach(reader, self._catch_up(reader))
            return
        reader.cursor = self.seq
        self.push(reader, chunk)

    def refresh(self, reader: Reader) -> bool:
        """What this reader may see now; ends its stream when that is nothing."""
        if reader.access is not self.access and self.access is not None:
            sight = self.access.sight(reader.caller)
            if sight is None:
                self.end(reader)
                return False
            reader.sight, reader.access = sight, self.access
        return True

    def _since(self, cursor: int, sight: Sight) -> bytes | None:
        """The bytes of all events after `cursor`; None when the ring does not reach back so far."""
        if not self._ring or cursor < self._ring[0].seq - 1:
            return None
        if cursor == self.seq - 1:
            return self._bytes(self._ring[-1], sight)
        first = cursor + 1 - self._ring[0].seq
        return b"".join(self._bytes(self._ring[index], sight) for index in range(first, len(self._ring)))

    def _bytes(self, event: TripEvent, sight: Sight) -> bytes:
        made = self._encoded.get((event.seq, sight))
        if made is None:
            made = self._encoded[event.seq, sight] = encode(event, sight)
        return made

    def push(self, reader: Reader, chunk: bytes) -> None:
        """Write without a task as long as the reader takes it."""
        coroutine = _body(reader.send, chunk)
        try:
            waiting = _start(coroutine)
        except (OSError, RuntimeError):  # how servers say that the client is gone; its request ends by itself
            reader.ended = True
            return
        if waiting is not None:
            self.detach(reader, _awaited(_finish(coroutine, waiting)))

    def detach(self, reader: Reader, rest: Coroutine[Any, Any, None]) -> None:
        reader.busy_since = asyncio.get_running_loop().time()
        reader.busy = asyncio.create_task(self._settle(reader, rest))

    async def _settle(self, reader: Reader, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        except psycopg.Error as error:
            log.warning("live_replay_failed", trip_id=to_wire("trip", self.trip_id), error=type(error).__name__)
            reader.ended = True  # it comes back with its Last-Event-ID
        except (OSError, RuntimeError):
            reader.ended = True
        finally:
            reader.busy = None
        if not reader.ended and reader in self.readers:
            self.write(reader)  # what came while it was busy

    async def _catch_up(self, reader: Reader) -> None:
        """Replay from the database what the ring no longer holds, or send it back to the whole trip."""
        behind = self.seq - reader.cursor
        if behind > replay_events_max:
            reader.cursor = self.seq
            await _body(reader.send, encode_snapshot(reader.cursor))
            return
        news = await self._hub.read(self.merchant_id, self.trip_id, after=reader.cursor, limit=replay_events_max)
        if news is None or reader.ended:
            return
        chunk = b"".join(encode(event, reader.sight) for event in news.events)
        if news.events:
            reader.cursor = news.events[-1].seq
            await _body(reader.send, chunk)

    def end(self, reader: Reader) -> None:
        """Say good-bye and complete the response; its request then returns by itself."""
        if reader.ended:
            return
        reader.ended = True
        if reader.busy is None:
            self.detach(reader, _last(reader.send))
        elif reader.task is not None:
            reader.task.cancel()  # it does not read; nothing polite can be written


async def _body(send: Send, chunk: bytes) -> None:
    await send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _last(send: Send) -> None:
    await send({"type": "http.response.body", "body": END, "more_body": False})


async def _awaited(rest: Awaitable[None]) -> None:
    await rest


# --- the hub --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class News:
    seq: int
    access: Access
    events: list[TripEvent] = field(default_factory=list)


_READ = """
SELECT t.event_seq, t.visibility, t.members_shown, t.votes_shown,
  (SELECT coalesce(json_agg(json_build_array(coalesce(m.person_id, m.guest_id), m.id, m.role, m.left_at IS NOT NULL,
     t.votes_shown = 'after_own_vote' AND EXISTS (
       SELECT 1 FROM vote v WHERE v.trip_id = t.id AND v.member_id = m.id AND v.round = t.round))), '[]')
   FROM member m WHERE m.trip_id = t.id),
  (SELECT coalesce(json_agg(json_build_array(e.seq, e.type, e.payload, e.actor_id, e.at) ORDER BY e.seq), '[]')
   FROM (SELECT * FROM trip_event WHERE trip_id = t.id AND seq > %(after)s ORDER BY seq LIMIT %(limit)s) e)
FROM trip t WHERE t.id = %(trip_id)s
"""


class Hub:
    """All live streams of this process, and the connections of its hot path.

    Use `async with hub.running():` in the application's lifespan.
    """

    def __init__(
        self,
        url: str,
        *,
        keep_alive_seconds: float = 15.0,
        stream_seconds_max: float = 3_600.0,
        send_seconds_max: float = 30.0,
        readers_max: int = 20_000,
        still_good: StillGood | None = None,
    ) -> None:
        self._url = libpq_url(url)
        self.hot = HotPool(url)
        self._keep_alive_seconds = keep_alive_seconds
        self._stream_seconds_max = stream_seconds_max
        self._send_seconds_max = send_seconds_max
        self._readers_max = readers_max
        self._still_good = still_good
        self._channels: dict[tuple[UUID, UUID], Channel] = {}
        self._reading = asyncio.Lock()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_watched = asyncio.Event()
        self.is_closing = False

    @property
    def reader_count(self) -> int:
        return sum(len(channel.readers) for channel in self._channels.values())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Hub]:
        """Listen until the block ends. A stop signal ends the streams first: a server waits for its responses."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._beat())]
        restore = self._end_on_signals()
        try:
            async with self.hot.running():
                yield self
        finally:
            restore()
            self.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._connection is not None:
                await self._connection.close()

    def close(self) -> None:
        """End every stream and open none any more."""
        self.is_closing = True
        for channel in tuple(self._channels.values()):
            for reader in tuple(channel.readers):
                channel.end(reader)

    async def channel(self, merchant_id: MerchantId, trip_id: TripId) -> Channel | None:
        """The trip's channel, with its access read afresh; None: no such trip at this merchant.

        Raises:
            Unavailable: this process is full or stopping; another or a later try may do.
        """
        if self.is_closing or self.reader_count >= self._readers_max:
            raise Unavailable(what="live stream")
        known = self._channels.get((merchant_id, trip_id))
        channel = known or Channel(self, merchant_id, trip_id)
        if known is not None and known.readers:
            news = await self.read(merchant_id, trip_id, after=None, limit=0)
            if news is None:
                return None
            channel.access = news.access
            channel.latest = max(channel.latest, news.seq)
            return channel
        return channel if await channel.load() else None

    def add(self, channel: Channel, reader: Reader) -> Channel:
        """Register a reader; the channel it ends up in is the one that is listening now."""
        kept = self._channels.setdefault((channel.merchant_id, channel.trip_id), channel)
        kept.readers.add(reader)
        self._is_watched.set()
        kept.poke()  # what happened between reading the channel and joining it
        return kept

    def remove(self, channel: Channel, reader: Reader) -> None:
        reader.ended = True
        if reader.busy is not None:
            reader.busy.cancel()
        channel.readers.discard(reader)
        if not channel.readers:
            self._channels.pop((channel.merchant_id, channel.trip_id), None)

    async def read(self, merchant_id: MerchantId, trip_id: TripId, *, after: int | None, limit: int) -> News | None:
        """Where the trip stands, who may see it, and the events after `after`: one statement."""
        async with self._reading:
            connection, self._connection = self._connection or await _connect(self._url), None
            values = {"trip_id": trip_id, "after": after or 0, "limit": limit}
            try:
                async with connection.pipeline():
                    await connection.execute("SELECT set_config('app.merchant_id', %s, false)", [str(merchant_id)])
                    cursor = await connection.execute(_READ, values)
                row = await cursor.fetchone()
            except BaseException:  # canceled or broken in the middle: a fresh connection is safer than this one
                await connection.close()
                raise
            self._connection = connection
        return None if row is None else _news(row)

    async def _listen(self) -> None:
        """Hear the notices while anybody watches; a process without readers is not woken by every vote elsewhere."""
        pause_seconds = 0.1
        while True:
            await self._is_watched.wait()
            try:
                async with await _connect(self._url) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    pause_seconds = 0.1
                    self._poke_all()  # what was said while nobody listened
                    while self._channels:
                        async for notice in connection.notifies(timeout=listen_seconds):
                            self._hear(notice.payload)
                self._is_watched.clear()
                if self._channels:  # somebody came while the connection was closing
                    self._is_watched.set()
            except psycopg.Error as error:
                log.warning("live_listen_failed", error=type(error).__name__)
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(pause_seconds * 2, 5.0)

    def _hear(self, payload: str) -> None:
        merchant, _, rest = payload.partition(":")
        trip, _, _ = rest.partition(":")
        try:
            channel = self._channels.get((UUID(hex=merchant), UUID(hex=trip)))
        except ValueError:
            log.warning("live_notice_malformed")
            return
        if channel is not None:
            channel.poke()

    def _poke_all(self) -> None:
        for channel in tuple(self._channels.values()):
            channel.poke()

    async def _beat(self) -> None:
        """Keep quiet connections open, end old ones (who asks is checked again), let go of readers that do not read."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._keep_alive_seconds)
            now = loop.time()
            if self._still_good is not None:
                await self._end_revoked(self._still_good)
            for channel in tuple(self._channels.values()):
                channel.poke()
                for count, reader in enumerate(tuple(channel.readers), start=1):
                    self._tend(channel, reader, now)
                    if count % readers_per_turn == 0:
                        await asyncio.sleep(0)

    async def _end_revoked(self, still_good: StillGood) -> None:
        """End the streams whose session or API key no longer works: one look per merchant, however many read."""
        asked: dict[MerchantId, dict[UUID, list[tuple[Channel, Reader]]]] = defaultdict(lambda: defaultdict(list))
        for channel in self._channels.values():
            for reader in channel.readers:
                credential = reader.caller.session_id or reader.caller.subject  # an API key is its caller's subject
                if credential is not None:
                    asked[channel.merchant_id][credential].append((channel, reader))
        for merchant_id, readers in asked.items():
            try:
                good = await run_in_threadpool(still_good, merchant_id, tuple(readers))
            except SQLAlchemyError as error:
                log.warning("live_credentials_unread", error=type(error).__name__)
                return  # the next beat asks again
            for credential in readers.keys() - set(good):
                for channel, reader in readers[credential]:
                    channel.end(reader)

    def _tend(self, channel: Channel, reader: Reader, now: float) -> None:
        if reader.ended:
            return
        if reader.busy is not None:
            if now - reader.busy_since > self._send_seconds_max:
                channel.end(reader)
        elif now - reader.opened_at > self._stream_seconds_max:
            channel.end(reader)
        else:
            channel.push(reader, KEEP_ALIVE)

    def _end_on_signals(self) -> Callable[[], None]:
        """A server that is told to stop waits for open responses, and a live stream never ends by itself: so the
        streams are ended by the same signal, before the server's own handler runs."""
        if threading.current_thread() is not threading.main_thread():
            return lambda: None
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def stop(number: int, frame: types.FrameType | None) -> None:
            loop.call_soon_threadsafe(self.close)
            handler = before[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

        for number, handler in before.items():
            if callable(handler):
                signal.signal(number, stop)

        def restore() -> None:
            for number, handler in before.items():
                if signal.getsignal(number) is stop:
                    signal.signal(number, handler)

        return restore


async def _connect(url: str) -> psycopg.AsyncConnection[Any]:
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, application_name="groupbook-live")
    await connection.execute(f"SET ROLE {APP_ROLE}")
    return connection


def _news(row: tuple[Any, ...]) -> News:
    seq, visibility, members_shown, votes_shown, seats, events = row
    privacy = Privacy(Visibility(visibility), MembersShown(members_shown), VotesShown(votes_shown))
    access = Access(
        privacy,
        {
            UUID(subject): ReaderSeat(MemberId(UUID(id)), Role(role), has_left, has_voted)
            for subject, id, role, has_left, has_voted in seats
        },
    )
    return News(
        seq,
        access,
        [
            TripEvent(number, type, payload, MemberId(UUID(actor)) if actor else None, datetime.fromisoformat(at))
            for number, type, payload, actor, at in events
        ],
    )

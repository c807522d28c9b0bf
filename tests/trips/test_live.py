"""The live stream on a real server: resume, redaction, lost access, slow readers, lost notices, a stop signal."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import text

from groupbook import people, trips
from groupbook.kit.ids import to_wire
from groupbook.trips import Started, repository
from groupbook.trips.domain import MembersShown, Role, Visibility, VoteChoice, VotesShown, replay_events_max
from groupbook.trips.stream import still_good
from tests.trips.conftest import House
from tests.trips.server import Server, serving

YES, NO = VoteChoice.YES, VoteChoice.NO


@pytest.fixture
def server(house: House) -> Iterator[Server]:
    with serving(house.database, keep_alive_seconds=0.3) as running:
        yield running


class Group:
    """A trip with an organizer and a friend, both guests, and their tokens."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.started: Started = trips.start_trip(
            house.database,
            house.sealer,
            house.key(),
            trips.StartTrip(organizer_name="Ana", options=[trips.NewOption(place="Lyon")]),
        )
        self.ana = self.started.guest_token or ""
        caller, joined = house.join(self.started, "Bo")
        self.bo, self.bo_caller, self.bo_seat = joined.guest_token or "", caller, joined.member
        self.organizer = house.caller(self.ana)
        self.trip = to_wire("trip", self.started.trip_id)
        self.option = house.option_ids(self.started.trip_id)[0]

    def vote(self, choice: VoteChoice) -> int:
        seq = trips.cast_vote(self.house.database, self.bo_caller, self.started.trip_id, self.option, choice).seq
        assert seq is not None
        return seq

    def append(self, count: int) -> int:
        """Many events at once, as a busy group would have made them."""
        with self.house.database.begin(self.house.kestrel.id) as session:
            now = session.execute(text("SELECT now()")).scalar_one()
            for n in range(count):
                trips.append_event(session, self.started.trip_id, "booking.moved", {"n": n}, now=now)
            return trips.trip_of(session, self.started.trip_id).event_seq

    def privacy(self, **changes: Any) -> None:
        self.house.set_privacy(self.organizer, self.started.trip_id, **changes)


@pytest.fixture
def group(house: House) -> Group:
    return Group(house)


def test_a_vote_reaches_everybody_who_watches_with_the_same_number(server: Server, group: Group) -> None:
    readers = [server.open(group.trip, token) for token in (group.ana, group.bo, group.bo)]
    assert readers[0].headers["content-type"] == "text/event-stream; charset=utf-8"
    assert readers[0].headers["cache-control"] == "no-store, no-transform"
    for reader in readers:
        assert reader.next() == (3, "snapshot", {"seq": 3, "type": "snapshot"})
    seq = group.vote(YES)
    for reader in readers:
        got = reader.next()
        assert got is not None
        assert got[:2] == (seq, "vote.cast")
        assert got[2]["payload"]["counts"] == {"yes": 1, "if_need_be": 0, "no": 0}
        assert got[2]["actor_id"] == to_wire("mem", group.bo_seat.id)


def test_resuming_replays_what_was_missed_and_nothing_twice(server: Server, group: Group) -> None:
    """Stale, exact, future, garbage and too far: each ends with the same state and no gap."""
    last = group.append(20)
    stale = server.open(group.trip, group.bo, "5")
    assert [seq for seq, _ in stale.take(last - 5)] == list(range(6, last + 1))
    exact = server.open(group.trip, group.bo, str(last))
    for header in ("-1", "999999", "x", "1.5", "9" * 40, "\u0661".encode().decode("latin-1"), ""):
        fresh = server.open(group.trip, group.bo, header)
        assert fresh.take(1) == [(last, "snapshot")], header
        fresh.close()
    far = server.open(group.trip, group.bo, "1")
    assert far.take(1) == [(2, "option.added")]
    last = group.append(replay_events_max)
    assert [seq for seq, _ in far.take(last - 2)] == list(range(3, last + 1))
    too_far = server.open(group.trip, group.bo, "1")
    assert too_far.take(1) == [(last, "snapshot")]
    at_the_edge = server.open(group.trip, group.bo, str(last - replay_events_max))
    assert at_the_edge.take(replay_events_max)[-1] == (last, "booking.moved")
    final = group.vote(YES)
    for reader in (stale, exact, far, too_far, at_the_edge):
        seen = last
        while seen < final:
            got = reader.next()
            assert got is not None
            assert got[0] is not None
            seen = got[0]
        assert seen == final


def test_a_trip_turned_secret_ends_the_streams_of_strangers_and_viewers_only(
    server: Server, group: Group, house: House
) -> None:
    group.privacy(visibility=Visibility.PUBLIC, members_shown=MembersShown.NONE, votes_shown=VotesShown.NEVER)
    viewer, seat = house.join(group.started, "Viewer")
    with house.database.begin(house.kestrel.id) as session:
        repository.change_member(session, seat.member.id, role=Role.VIEWER.value)
    del viewer
    stranger, watcher = server.open(group.trip), server.open(group.trip, seat.guest_token)
    member, organizer = server.open(group.trip, group.bo), server.open(group.trip, group.ana)
    for reader in (stranger, watcher, member, organizer):
        assert reader.status == 200
        assert reader.take(1)[0][1] == "snapshot"
    seq = group.vote(YES)
    for reader, sees in ((stranger, False), (watcher, False), (member, False), (organizer, True)):
        got = reader.next()
        assert got is not None
        assert (got[0], "counts" in got[2]["payload"], "member_id" in got[2]["payload"]) == (seq, sees, sees)
        assert (got[2]["actor_id"] is not None) == sees
    group.privacy(visibility=Visibility.SECRET)
    for reader in (stranger, watcher):
        assert reader.next() == (None, "end", {})
        assert reader.next() is None
    for reader in (member, organizer):
        assert reader.take(1) == [(seq + 1, "privacy.changed")]
    # Who lost access is told not to come back; who never had any finds nothing.
    assert server.open(group.trip, seat.guest_token).status == 204
    assert server.open(group.trip, None, str(seq)).status == 204
    assert server.open(group.trip).status == 401


def test_who_is_taken_off_the_trip_stops_hearing_at_once(server: Server, group: Group, house: House) -> None:
    reader, other = server.open(group.trip, group.bo), server.open(group.trip, group.ana)
    reader.take(1), other.take(1)
    trips.remove_member(house.database, group.organizer, group.started.trip_id, group.bo_seat.id)
    assert reader.next() == (None, "end", {})
    assert reader.next() is None
    assert other.take(1)[0][1] == "member.left"
    assert server.open(group.trip, group.bo).status == 204


def test_a_stream_ends_with_the_session_that_opened_it(group: Group, house: House) -> None:
    with serving(house.database, keep_alive_seconds=0.1, still_good=partial(still_good, house.database)) as running:
        reader, other = running.open(group.trip, group.bo), running.open(group.trip, group.ana)
        reader.take(1), other.take(1)
        people.end_session(house.database, group.bo_caller)
        assert reader.next() == (None, "end", {})
        assert running.open(group.trip, group.bo).status == 401
        seq = group.vote(YES)
        assert other.take(1) == [(seq, "vote.cast")]


def test_streams_that_are_not_theirs_are_not_there(server: Server, group: Group, house: House) -> None:
    elsewhere = Group(house)
    assert server.open(group.trip, elsewhere.bo).status == 404
    assert server.open(group.trip, "not a token").status == 401
    assert server.open("trip_" + "0" * 32, group.bo).status == 404
    assert server.open("trip_x", group.bo).status == 404
    assert server.hub.reader_count == 0


def test_a_lost_notice_loses_nothing_and_quiet_streams_are_kept_open(
    server: Server, group: Group, house: House
) -> None:
    reader = server.open(group.trip, group.bo)
    group.vote(NO)
    assert reader.take(2) == [(3, "snapshot"), (4, "vote.cast")]  # so the process listens by now
    with house.database.begin(house.kestrel.id) as session:  # what `append` does, without its NOTIFY
        session.execute(
            text(
                "WITH bumped AS (UPDATE trip SET event_seq = event_seq + 1 WHERE id = :id RETURNING event_seq) "
                "INSERT INTO trip_event (merchant_id, trip_id, seq, type, payload, at) "
                "SELECT :merchant, :id, event_seq, 'booking.moved', '{}', now() FROM bumped"
            ),
            {"id": group.started.trip_id, "merchant": house.kestrel.id},
        )
    assert reader.take(1) == [(5, "booking.moved")]
    assert reader.keep_alives >= 1
    with house.database.begin(house.kestrel.id) as session:  # garbage on the channel harms nobody
        session.execute(text("SELECT pg_notify('trip_event', 'x:y:z')"))
    group.vote(YES)
    assert reader.take(1) == [(6, "vote.cast")]


def test_listening_goes_on_after_the_connection_is_cut(server: Server, group: Group, house: House) -> None:
    reader = server.open(group.trip, group.bo)
    reader.take(1)
    house.rows("SELECT 1")

    with psycopg.connect(house.database.url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as owner:
        owner.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'groupbook-live'"
        )
    seqs = [group.vote(choice) for choice in (YES, NO, YES)]
    assert [seq for seq, _ in reader.take(3)] == seqs


def test_one_slow_reader_delays_nobody_and_is_let_go(group: Group, house: House) -> None:
    with serving(house.database, keep_alive_seconds=0.3, send_seconds_max=1.0) as server:
        slow = socket.create_connection(("127.0.0.1", server.port))
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.sendall(
            f"GET /v1/trips/{group.trip}/events/stream HTTP/1.1\r\nHost: x\r\n"
            f"Authorization: Bearer {group.bo}\r\n\r\n".encode()
        )
        quick = server.open(group.trip, group.ana)
        quick.take(1)
        with house.database.begin(house.kestrel.id) as session:
            now = session.execute(text("SELECT now()")).scalar_one()
            for _ in range(200):  # far more than the socket buffers of one connection hold
                trips.append_event(session, group.started.trip_id, "big", {"x": "y" * 60_000}, now=now)
        begun = time.monotonic()
        assert quick.take(200)[-1][1] == "big"
        assert time.monotonic() - begun < 8
        seq = group.vote(YES)
        assert quick.take(1) == [(seq, "vote.cast")]
        deadline = time.monotonic() + 8
        while server.hub.reader_count > 1 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.hub.reader_count == 1
        slow.close()


def test_a_stop_signal_ends_streams_and_server_within_seconds(group: Group, house: House) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.trips.server", house.database.url, str(port)]
    process = subprocess.Popen(command, env=dict(os.environ))
    server = Server(None, port)  # type: ignore[arg-type]  # the hub lives in the other process
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                reader = server.open(group.trip, group.bo)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        reader.take(1)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert reader.next() == (None, "end", {})
        assert reader.next() is None
        process.wait(10)
        assert time.monotonic() - begun < 5
    finally:
        process.kill()
        process.wait()
        server.close()


def test_the_room_answers_over_http_as_its_schemas_say(server: Server, house: House) -> None:
    """A guest joins, votes, is refused and leaves, over the wire."""
    group = Group(house)
    invite = group.started.invite_token
    assert server.ask("GET", f"/v1/invites/{invite}")[1]["trip_id"] == group.trip
    status, joined = server.ask("POST", f"/v1/invites/{invite}/join", body={"name": "Émilie 🎈"})
    assert (status, joined["is_new"]) == (201, True)
    token = joined["guest_token"]
    vote = f"/v1/trips/{group.trip}/options/{to_wire('opt', group.option)}/vote"
    assert server.ask("PUT", vote, token, {"choice": "yes"})[1]["seq"] is not None
    assert server.ask("PUT", vote, token, {"choice": "maybe"})[0] == 422
    assert server.ask("PUT", vote, None, {"choice": "yes"})[0] == 401
    status, shown = server.ask("GET", f"/v1/trips/{group.trip}", token)
    assert (status, shown["you"]["name"], shown["options"][0]["counts"]["yes"]) == (200, "Émilie 🎈", 1)
    assert server.ask("GET", f"/v1/trips/{group.trip}")[0] == 404
    status, log = server.ask("GET", f"/v1/trips/{group.trip}/events?after=2&limit=1", token)
    assert (status, [e["type"] for e in log["data"]], log["has_more"]) == (200, ["member.joined"], True)
    assert server.ask("GET", f"/v1/trips/{group.trip}/events?after=-1", token)[0] == 422
    assert server.ask("GET", f"/v1/trips/{group.trip}/proposal", token)[1]["reason"] == "only_option"
    assert server.ask("GET", f"/v1/trips/{group.trip}/invites", token) == (200, {"data": []})
    status, refused = server.ask("PUT", f"/v1/trips/{group.trip}/privacy", token, {"visibility": "public"})
    assert (status, refused["code"]) == (403, "not_organizer")
    assert server.ask("POST", f"/v1/invites/{invite}/join", body={"name": "x" * 10_000})[0] == 422
    me = joined["member_id"]
    assert server.ask("DELETE", f"/v1/trips/{group.trip}/members/{me}", token)[0] == 204
    assert server.ask("GET", f"/v1/trips/{group.trip}", token)[0] == 404


def test_the_hot_path_answers_what_the_operation_answers(server: Server, house: House) -> None:
    """Every kind of asker and every refusal: same status, same body, with the hot path and without it."""
    group = Group(house)
    elsewhere = Group(house)
    viewer, seat = house.join(group.started, "Viewer")
    del viewer
    with house.database.begin(house.kestrel.id) as session:
        repository.change_member(session, seat.member.id, role=Role.VIEWER.value)
    tokens = [group.ana, group.bo, seat.guest_token, elsewhere.bo, "x" * 43, "short", None]
    trip, vote = f"/v1/trips/{group.trip}", f"/v1/trips/{group.trip}/options/{to_wire('opt', group.option)}/vote"
    used: list[object] = []
    read, cast_now = server.hub.hot.read, server.hub.hot.vote

    async def no_read(trip_id: UUID, digest: bytes) -> str | None:
        used.append(await read(trip_id, digest))
        return None

    async def no_vote(trip_id: UUID, option_id: UUID, choice: str, digest: bytes) -> int | None:
        return None

    def ask_all(path: str, body: Any = None) -> list[tuple[int, Any]]:
        answers = [server.ask("PUT" if body else "GET", path, token, body) for token in tokens]
        return [(status, {**(shown or {}), "request_id": ""}) for status, shown in answers]

    for path in (trip, "/v1/trips/trip_x", f"/v1/trips/trip_{'0' * 32}"):
        hot = ask_all(path)
        server.hub.hot.read = no_read  # type: ignore[method-assign]  # the hot path switched off
        assert ask_all(path) == hot
        server.hub.hot.read = read  # type: ignore[method-assign]
    assert sum(document is not None for document in used) == 3  # it did answer ana, bo and the viewer
    wrong_option = vote.replace(to_wire("opt", group.option), to_wire("opt", elsewhere.option))
    for path, body in ((vote, {"choice": "yes"}), (vote, {"choice": "?"}), (wrong_option, {"choice": "no"})):
        hot = ask_all(path, body)
        server.hub.hot.vote = no_vote  # type: ignore[method-assign]
        assert [status for status, _ in ask_all(path, body)] == [status for status, _ in hot]
        server.hub.hot.vote = cast_now  # type: ignore[method-assign]
    assert server.ask("PUT", vote, group.bo, {"choice": "no"})[1] == {
        "option_id": to_wire("opt", group.option),
        "choice": "no",
        "seq": house.log(group.started.trip_id)[-1][0],
    }
    assert server.ask("PUT", vote, group.bo, {"choice": "no"})[1]["seq"] is None
    trips.lock(house.database, group.organizer, group.started.trip_id)
    assert server.ask("PUT", vote, group.bo, {"choice": "yes"})[1]["code"] == "trip_state_forbids"
    seqs = [seq for seq, _ in house.log(group.started.trip_id)]
    assert seqs == list(range(1, len(seqs) + 1))

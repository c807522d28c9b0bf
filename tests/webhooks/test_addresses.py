"""Where we are willing to post: the address guard, and the sender on a real socket."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from groupbook.kit.database import Database
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import MerchantId, new_id
from groupbook.webhooks.domain import InvalidWebhookUrl, check_url, is_public
from groupbook.webhooks.sender import PinnedSender


@pytest.mark.parametrize(
    "url",
    [
        "http://shop.example/hook",
        "ftp://shop.example/hook",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "javascript:alert(1)",
        "https://user@shop.example/",
        "https://user:pass@shop.example/",
        "https://shop.example/#x",
        "https://shop.example:0/",
        "https://shop.example:99999/",
        "https:///hook",
        "https://",
        "//shop.example/hook",
        "shop.example/hook",
        "https://shop.example/a b",
        "https://shop.example/\r\nHost: x",
        "https://shop.example\\@10.0.0.1/",
        "https://shöp.example/",
        "https://localhost/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://intranet/",
        "https://db.internal/",
        "https://printer.local/",
        "https://shop.example/" + "a" * 3_000,
    ],
)
def test_a_url_that_is_not_a_public_https_place_is_refused(url: str) -> None:
    with pytest.raises(InvalidWebhookUrl):
        check_url(url, loopback_allowed=False)


@pytest.mark.parametrize("url", ["https://shop.example/hook?x=1", "https://shop.example:8443/", "https://1.1.1.1/"])
def test_a_public_https_place_is_taken(url: str) -> None:
    assert check_url(url, loopback_allowed=False) == url


def test_loopback_is_taken_with_the_explicit_setting_only() -> None:
    for url in ("http://127.0.0.1:9000/hook", "http://localhost:9000/hook"):
        assert check_url(url, loopback_allowed=True) == url
    for url in ("http://10.0.0.1/", "http://shop.example/", "gopher://localhost/"):
        with pytest.raises(InvalidWebhookUrl):
            check_url(url, loopback_allowed=True)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("1.1.1.1", True),
        ("2606:4700:4700::1111", True),
        ("10.0.0.1", False),
        ("172.16.9.9", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("127.0.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1", False),
        ("fd12::1", False),
        ("fec0::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:1.1.1.1", True),
        ("2002:0a00:0001::", False),
        ("64:ff9b::7f00:1", False),
        ("ff02::1", False),
    ],
)
def test_private_ranges_are_known_even_inside_ipv6(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


# --- on a socket ------------------------------------------------------------------------------------------------------


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A loopback server that reads one request and lets `answer` misbehave."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                answer(connection)
        except OSError:
            pass  # the client cut us off, which is what some tests want

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.close()
    thread.join(5)


def post(
    port: int, *, host: str = "127.0.0.1", seconds: float = 2.0, loopback_allowed: bool = True
) -> tuple[object, ...]:
    answer = PinnedSender(loopback_allowed=True, seconds_max=seconds).post(
        f"http://{host}:{port}/hook", headers={}, body=b"{}", loopback_allowed=loopback_allowed
    )
    return answer.status, answer.error, answer.is_success


def reply(raw: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(raw)


def test_an_answer_is_read_and_a_redirect_is_not_followed() -> None:
    with server(reply(b"HTTP/1.1 204 No Content\r\n\r\n")) as port:
        assert post(port) == (204, None, True)
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
    with server(reply(moved)) as port:
        assert post(port) == (302, None, False)


def test_what_is_no_http_is_a_protocol_error_and_a_closed_port_is_unreachable() -> None:
    with server(reply(b"hello\r\n\r\n")) as port:
        assert post(port)[:2] == (None, "protocol_error")
    assert post(port)[:2] == (None, "unreachable")


def test_a_slow_loris_is_cut_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            time.sleep(0.1)
            connection.sendall(b"x-drip: 1\r\n")

    started = time.monotonic()
    with server(drip) as port:
        assert post(port, seconds=0.6)[:2] == (None, "timeout")
        assert time.monotonic() - started < 2


def test_a_huge_answer_is_cut() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50000000\r\n\r\n")
        for _ in range(800):
            connection.sendall(b"x" * 65_536)

    with server(flood) as port:
        answer = PinnedSender(loopback_allowed=True).post(
            f"http://127.0.0.1:{port}/", headers={}, body=b"", loopback_allowed=True
        )
    assert (answer.status, answer.error, len(answer.excerpt)) == (200, None, 500)


def test_a_name_that_leads_inside_is_refused_at_the_socket() -> None:
    with server(reply(b"HTTP/1.1 200 OK\r\n\r\n")) as port:
        assert post(port, loopback_allowed=False)[:2] == (None, "address_refused")
        for addresses in (["10.0.0.1"], ["1.1.1.1", "127.0.0.1"], ["::ffff:169.254.169.254"]):
            sender = PinnedSender(resolve=lambda host, port, found=addresses: found)  # type: ignore[misc] # a bound default
            answer = sender.post("http://rebind.example/", headers={}, body=b"", loopback_allowed=False)
            assert (answer.status, answer.error) == (None, "address_refused")


def test_a_name_is_resolved_once_and_the_socket_goes_there() -> None:
    """A second answer of the resolver (DNS rebinding) is never asked for."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"]])
    with server(reply(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as port:
        sender = PinnedSender(loopback_allowed=True, resolve=lambda host, port: next(answers))
        answer = sender.post(f"http://rebind.example:{port}/", headers={}, body=b"", loopback_allowed=True)
    assert answer.status == 200
    assert next(answers) == ["10.0.0.1"]


def test_an_unknown_name_is_unresolvable() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise socket.gaierror("no such name")

    answer = PinnedSender(resolve=nowhere).post(
        "https://nowhere.example/", headers={}, body=b"", loopback_allowed=False
    )
    assert answer.error == "unresolvable"


def test_posting_inside_a_transaction_is_an_error(database: Database) -> None:
    with database.begin(MerchantId(new_id())), pytest.raises(InvariantBroken):
        PinnedSender().post("https://shop.example/", headers={}, body=b"", loopback_allowed=False)

"""Who may watch and stop; and what those who attack the page get."""

from __future__ import annotations

import asyncio
import socket
import time

import aiohttp
import pytest
from made import vitals
from served import TOKEN, Served, samples

from fer_edge.device.web import Address, WebPage, access, server
from fer_edge.device.web.access import GUESSES, WAIT_S, Answer, Guard, read_token
from fer_edge.errors import FerEdgeError


def test_a_token_is_asked_for_and_a_session_stands_for_it(guarded):
    async def talk(client):
        for path in ("/ws", "/status", "/metrics"):
            async with client.get(path) as answer:
                assert answer.status == 401, path
        for path in ("/stop", "/start"):
            async with client.post(path) as answer:
                assert answer.status == 401, path
        assert guarded.vitals.control.running
        for path in ("/", "/healthz"):
            async with client.get(path) as answer:
                assert answer.status == 200, path
        async with client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert answer.status == 200
        async with client.post("/login", json={"token": "wrong"}) as answer:
            assert answer.status == 401
        async with client.post("/login", json={"token": TOKEN}) as answer:
            assert answer.status == 204
            cookie = answer.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        async with client.ws_connect("/ws") as viewer:
            assert (await viewer.receive_json())["type"] == "status"

    guarded.ask(talk)


def test_two_pages_on_one_machine_do_not_log_each_other_out(guarded):
    other = Served(TOKEN)

    async def talk(client):
        for url in (guarded.url, other.url):
            async with client.post(f"{url}/login", json={"token": TOKEN}) as answer:
                assert answer.status == 204
        for url in (guarded.url, other.url):
            async with client.get(f"{url}/status") as answer:
                assert answer.status == 200

    with other.page:
        guarded.ask(talk)


def test_a_thousand_wrong_tokens_are_soon_not_even_compared(guarded):
    async def talk(client):
        async with client.post("/login", json={"token": TOKEN}):
            pass
        statuses = []
        async with aiohttp.ClientSession(guarded.url) as stranger:
            for guess in range(1000):
                head = {"Authorization": f"Bearer guess-number-{guess}"}
                async with stranger.get("/status", headers=head) as answer:
                    statuses.append(answer.status)
            async with stranger.post("/login", json={"token": TOKEN}) as answer:
                assert answer.status == 429
                assert answer.headers["Retry-After"] == "60"
        assert statuses == [401] * GUESSES + [429] * (1000 - GUESSES)
        async with client.get("/metrics") as answer:  # whoever was in stays in
            assert samples(await answer.text())["fer_edge_web_total", "wrong_tokens"] == 1001

    guarded.ask(talk)
    assert len([line for line in guarded.said if "wrong tokens" in line]) == 1


def test_after_a_while_a_token_is_compared_again():
    now = [0.0]
    guard = Guard(TOKEN, clock=lambda: now[0])
    assert [guard.check("x", "1.2.3.4") for _ in range(GUESSES)] == [Answer.WRONG] * GUESSES
    assert guard.check(TOKEN, "1.2.3.4") is Answer.WAIT
    assert guard.check(TOKEN, "1.2.3.5") is Answer.RIGHT
    now[0] = WAIT_S + 1
    assert guard.check(TOKEN, "1.2.3.4") is Answer.RIGHT


def test_guesses_from_very_many_addresses_take_bounded_memory():
    guard = Guard(TOKEN)
    for number in range(10_000):
        guard.check("x", str(number))
    assert len(guard._guesses) == access._ADDRESSES


@pytest.mark.parametrize("content", ["", "short", "with a space in it, but long", "x" * 20 + "ü"])
def test_a_token_that_could_be_guessed_or_not_be_sent_is_refused(tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content + "\n")
    with pytest.raises(FerEdgeError, match="holds no token of at least 16") as caught:
        read_token(path)
    assert "secrets.token_urlsafe" in caught.value.hint


def test_a_token_file_is_read_without_its_line_end_and_a_missing_one_is_named(tmp_path):
    (tmp_path / "token").write_text(TOKEN + "\r\n")
    assert read_token(tmp_path / "token") == TOKEN
    with pytest.raises(FerEdgeError, match=r"cannot read the token in .*absent"):
        read_token(tmp_path / "absent")


_UNFINISHED = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
    b"\r\n\r\n\0\0\0",
    b'POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"token":',
)
_BAD = (
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
    b"GET " + b"/a" * 6000 + b" HTTP/1.1\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n[]",
    *_UNFINISHED,
)


def test_a_thousand_bad_requests_do_no_harm_and_leave_no_trace(served, capfd):
    for number in range(1000):
        with socket.create_connection(("127.0.0.1", served.page.address.port), 5) as client:
            client.sendall(_BAD[number % len(_BAD)])
            if number < len(_BAD) - len(_UNFINISHED):
                assert 400 <= int(client.recv(65536).split()[1]) < 500, _BAD[number]

    async def talk(client):
        for _ in range(50):
            try:
                async with client.ws_connect("/ws") as viewer:
                    await served.picture(viewer)
                    return
            except aiohttp.ClientConnectionError:
                # too many connections, until it is noticed that those were broken off
                await asyncio.sleep(0.1)
        raise AssertionError("nobody is let in any more")

    served.ask(talk)
    assert capfd.readouterr() == ("", "")
    assert len(served.said) == 1


def test_connections_that_say_nothing_do_not_use_up_all_descriptors(served):
    port = served.page.address.port
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(server.MAX_CONNECTIONS)]
    time.sleep(0.1)
    with socket.create_connection(("127.0.0.1", port), 5) as one_too_many:
        assert one_too_many.recv(1) == b""
    for connection in idle:
        connection.close()
    time.sleep(0.1)

    async def talk(client):
        async with client.get("/healthz") as answer:
            assert answer.status == 200

    served.ask(talk)


def test_another_sites_page_can_neither_watch_nor_stop(served):
    async def talk(client):
        foreign = {"Origin": "http://evil.example"}
        async with client.post("/stop", headers=foreign) as answer:
            assert answer.status == 403
        async with client.get("/ws", headers=foreign) as answer:
            assert answer.status == 403
        own = {"Origin": served.url}
        async with client.post("/stop", headers=own) as answer:
            assert answer.status == 200
        # a name that its owner lets point to 127.0.0.1
        async with client.get("/status", headers={"Host": "evil.example:8080"}) as answer:
            assert answer.status == 403

    served.ask(talk)


def test_what_others_can_reach_needs_a_token():
    for host in ("0.0.0.0", "192.168.1.5", "::", "pi.local"):
        with pytest.raises(FerEdgeError, match="there is no token") as caught:
            WebPage(Address(host, 8080), vitals())
        assert "--token-file" in caught.value.hint
    for host in ("localhost", "127.0.0.1", "::1"):
        WebPage(Address(host, 8080), vitals())

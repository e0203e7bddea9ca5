"""Messages to a page wait for each other, in order, until the script ends or for a moment; none is lost."""

import asyncio

import pytest
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from dashboard.middleware import bursts
from dashboard.middleware.bursts import STREAM, BurstsMiddleware

FINISHED = ForwardMsg(script_finished=ForwardMsg.FINISHED_SUCCESSFULLY).SerializeToString()


def message(number):
    return {"type": "websocket.send", "bytes": ForwardMsg(hash=f"message {number}" * 9).SerializeToString()}


END = {"type": "websocket.send", "bytes": FINISHED}
CLOSE = {"type": "websocket.close", "code": 1000}


def run(app, *, path=STREAM, send=None):
    """Run *app* behind the middleware on a socket; return what reached the browser."""
    sent = []

    async def keep(message):
        sent.append(message)

    asyncio.run(BurstsMiddleware(app)({"type": "websocket", "path": path}, None, send or keep))
    return sent


@pytest.fixture
def patient(monkeypatch):
    """Let messages wait for longer than any test runs."""
    monkeypatch.setattr(bursts, "HELD_S", 3600.0)


@pytest.mark.usefixtures("patient")
def test_messages_wait_until_the_script_ends():
    seen = []

    async def keep(message):
        seen.append(message)

    async def app(_scope, _receive, send):
        await send(message(1))
        await send(message(2))
        assert seen == []
        await send(END)
        assert seen == [message(1), message(2), END]

    run(app, send=keep)
    assert len(seen) == 3


def test_a_script_that_takes_long_shows_what_it_has(monkeypatch):
    monkeypatch.setattr(bursts, "HELD_S", 0.0)

    async def app(_scope, _receive, send):
        await send(message(1))
        await send(message(2))
        await arrived.wait()

    arrived, seen = asyncio.Event(), []

    async def keep(message):
        seen.append(message)
        if len(seen) == 2:
            arrived.set()

    run(app, send=keep)
    assert seen == [message(1), message(2)]


@pytest.mark.usefixtures("patient")
def test_what_waits_is_sent_before_the_socket_closes():
    async def app(_scope, _receive, send):
        await send(message(1))
        await send(CLOSE)

    assert run(app) == [message(1), CLOSE]


@pytest.mark.usefixtures("patient")
def test_a_flood_is_not_held():
    async def app(_scope, _receive, send):
        for number in range(450):
            await send(message(number))

    assert run(app) == [message(number) for number in range(400)]


@pytest.mark.usefixtures("patient")
def test_other_sockets_are_left_alone():
    async def app(_scope, _receive, send):
        await send(message(1))

    assert run(app, path="/ws/agent-status") == [message(1)]


def test_whoever_sends_hears_that_the_browser_is_gone(monkeypatch):
    monkeypatch.setattr(bursts, "HELD_S", 0.0)
    tried = asyncio.Event()

    async def gone(_message):
        tried.set()
        raise OSError("gone")

    async def app(_scope, _receive, send):
        await send(message(1))
        await tried.wait()
        with pytest.raises(OSError, match="gone"):
            await send(message(2))

    run(app, send=gone)
    assert tried.is_set()

"""What a page sends to a browser, in bursts: a browser draws once for many messages instead of once for each few.

Streamlit sends each element when the script has drawn it. A browser then draws the page some twenty times in the time a
script takes to run, and most of what a reader waits for is that drawing.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

STREAM = "/_stcore/stream"
HELD_S = 0.05
"""Messages wait for each other so long at most; a script that has read before is done by then."""
_MOST_HELD = 200
_SMALL = 64
"""Bytes; the message that a script has ended is smaller."""


class BurstsMiddleware:
    """Lets messages of the socket of pages wait for each other until the script ends, or for a moment."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on."""
        if scope["type"] != "websocket" or scope["path"] != STREAM:
            await self._app(scope, receive, send)
            return
        burst = _Burst(send)
        try:
            await self._app(scope, receive, burst.send)
        finally:
            burst.stop()


class _Burst:
    """Messages of one socket that wait, in order."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._held: list[Message] = []
        self._lock = asyncio.Lock()
        self._timer: asyncio.Task[None] | None = None
        self._failure: OSError | None = None

    async def send(self, message: Message) -> None:
        """Hold *message*, or send it after those that wait.

        Raises:
            OSError: If the browser is gone.
        """
        if self._failure is not None:
            raise self._failure
        self._held.append(message)
        if message["type"] != "websocket.send" or len(self._held) >= _MOST_HELD or _ends_script(message):
            await self._flush()
        elif self._timer is None:
            self._timer = asyncio.create_task(self._flush_later(), name="burst")

    def stop(self) -> None:
        """Forget what waits: nobody listens any more."""
        self._held.clear()
        if self._timer is not None:
            self._timer.cancel()

    async def _flush_later(self) -> None:
        await asyncio.sleep(HELD_S)
        self._timer = None
        try:
            await self._flush()
        except OSError as error:  # whoever sends next hears of it
            self._failure = error

    async def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        async with self._lock:
            held, self._held = self._held, []
            for message in held:
                await self._send(message)


def _ends_script(message: Message) -> bool:
    payload = message.get("bytes") or b""
    return len(payload) <= _SMALL and ForwardMsg.FromString(payload).WhichOneof("type") == "script_finished"

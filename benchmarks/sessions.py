"""Simulated browser sessions: the protobuf conversation of Streamlit without a browser, as load on a server."""

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

T = TypeVar("T")


@dataclass
class Rerun:
    """One rerun as the session saw it."""

    seconds: float
    messages: int
    bytes_received: int


class Session:
    """One reader with one page open."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket

    async def rerun(self, page: str = "", query: str = "") -> Rerun:
        """Run *page* once and wait until its script has ended.

        Raises:
            RuntimeError: If the server closed the socket or the script ended with an error.
        """
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        start = time.perf_counter()
        await self._socket.send_bytes(message.SerializeToString())
        count = size = 0
        while True:
            frame = await asyncio.wait_for(self._socket.receive(), timeout=120)
            if frame.type is not aiohttp.WSMsgType.BINARY:
                raise RuntimeError(f"the server ended the session: {frame.type} {frame.data}")
            count += 1
            size += len(frame.data)
            answer = ForwardMsg.FromString(frame.data)
            if answer.WhichOneof("type") == "script_finished":
                if answer.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                    return Rerun(time.perf_counter() - start, count, size)
                if answer.script_finished == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
                    raise RuntimeError("the page did not compile")


async def sign_in(client: aiohttp.ClientSession, url: str, email: str, password: str) -> None:
    """Sign *client* in; its cookie jar keeps the session."""
    async with client.post(
        f"{url}/login",
        data={"email": email, "password": password, "next": "/"},
        headers={"Origin": url},
        allow_redirects=False,
    ) as answer:
        if answer.status not in {302, 303}:
            raise RuntimeError(f"sign-in was refused with {answer.status}")


@contextlib.asynccontextmanager
async def open_session(client: aiohttp.ClientSession, url: str) -> AsyncIterator[Session]:
    """Open a page's conversation as the one whom *client* is signed in as."""
    async with client.ws_connect(
        f"{url.replace('http', 'ws')}/_stcore/stream",
        protocols=["streamlit"],
        headers={"Origin": url},
        max_msg_size=0,
    ) as socket:
        yield Session(socket)


def in_own_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run *work* in an event loop of another thread: the browser's loop may occupy this one."""
    held: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            held.append(asyncio.run(work()))
        except BaseException as error:  # noqa: BLE001 - carried over to the calling thread
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return held[0]

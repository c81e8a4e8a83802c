"""Who may ask the page for what, and how much may be sent to it.

A page on one's own machine can be reached by every other page in the same browser: by its address, or by a foreign name
that is made to lead to it (DNS rebinding). So requests are answered only under names that are this machine's, and only
those that no foreign page has sent. An image is given only to the visitor who has sent it or to whom it was restored.
"""

import ipaddress
import json
import re
import secrets
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]

COOKIE = "deeprftv2_visitor"
MOST_VISITORS = 1000  # that are told apart at a time
MOST_FILES = 1000  # that a visitor may ask for, the latest ones
IN_USE = 120  # seconds for which no file is removed to make room
KEPT_FILE = re.compile(rb"/([0-9a-f]{64})/")  # the folder in which gradio keeps a file; a checksum with a secret
UPLOAD, FILE = "/gradio_api/upload", "/gradio_api/file"
LONGEST_BODY = 2**20  # bytes of a request that is no upload
NOT_YOURS = (403, "This image is somebody else's.")


def own_names(host: str, more: Collection[str] = ()) -> frozenset[str]:
    """Return the names under which a page may be asked for, beside every address in numbers.

    Args:
        host: What it listens on.
        more: What else its users call this machine.
    """
    return frozenset(name.lower().rstrip(".") for name in ("localhost", socket.gethostname(), host, *more))


def is_own_host(header: str, names: Collection[str]) -> bool:
    """Tell whether a ``Host`` is this machine: a name of it, or an address in numbers, which nobody can redirect."""
    try:
        name = (urlsplit(f"//{header}").hostname or "").rstrip(".")
        if name in names:
            return True
        ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True


class Room:
    """How many bytes there may be in a folder of files that come and go.

    Args:
        folder: The folder.
        most: Bytes.
    """

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        self._coming = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Make room for a file that comes, by removing the oldest ones that are not in use; return whether it fits."""
        with self._lock:
            files = sorted((status.st_mtime, status.st_size, path) for path, status in _files(self.folder))
            free = self.most - self._coming - sum(size for _, size, _ in files)
            while free < size and files and files[0][0] < time.time() - IN_USE:
                _, freed, path = files.pop(0)
                path.unlink(missing_ok=True)
                free += freed
            if free < size:
                return False
            self._coming += size
            return True

    def arrived(self, size: int) -> None:
        """Take note that a file of that size is there, or does not come."""
        with self._lock:
            self._coming -= size


def _files(folder: Path) -> list[tuple[Path, Any]]:
    found = []
    for path in folder.rglob("*"):
        with suppress(OSError):  # it may be gone by now
            if path.is_file():
                found.append((path, path.stat()))
    return found


class Guard:
    """Stands before the page, as an application of ASGI around another one.

    Args:
        app: The page.
        names: See :func:`own_names`.
        room: For uploads.
    """

    def __init__(self, app: Any, names: Collection[str], room: Room) -> None:
        self.app = app
        self.names = names
        self.room = room
        self._visitors: OrderedDict[str, OrderedDict[bytes, None]] = OrderedDict()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope.get("headers", ())}
        path = re.sub("/+", "/", scope["path"])
        visitor = _visitor(headers.get("cookie", ""))
        refusal = self._refusal(scope, path, headers, visitor)
        if refusal is not None or scope["type"] != "http":
            await _refuse(scope, receive, send, *(refusal or (403, "not here")))
            return
        size = 0
        if scope["method"] == "POST" and not path.startswith(UPLOAD):
            body = await _body(receive)
            if body is None or not self._are_known_to(visitor, _files_named(body)):
                await _refuse(scope, receive, send, *NOT_YOURS)
                return
            receive = _again(body, receive)
        elif scope["method"] == "POST":
            size = int(headers["content-length"])
            if not self.room.take(size):
                await _refuse(
                    scope, receive, send, 507, "Too many images are kept here now; try again in a few minutes."
                )
                return
        try:
            await self.app(scope, receive, self._noting(visitor, path, send))
        finally:
            self.room.arrived(size)

    def _refusal(
        self, scope: Message, path: str, headers: dict[str, str], visitor: str | None
    ) -> tuple[int, str] | None:
        """Return the status and words of a refusal; None for what may be answered."""
        host = headers.get("host", "")
        if not is_own_host(host, self.names):
            return 403, "This page is not known by that name; start it with --allow-host NAME if it is to be."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, "Another page may not ask this one."
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Another page may not ask this one."
        if path.startswith(FILE):
            files = KEPT_FILE.findall(path.encode("utf-8", "replace"))
            return None if files and self._are_known_to(visitor, files) else NOT_YOURS
        is_told = visitor is not None and headers.get("content-length", "").isdecimal()
        if path.startswith(UPLOAD) and scope.get("method") == "POST" and not is_told:
            return 411, "An upload comes from the page, and says how long it is."
        return None

    def _are_known_to(self, visitor: str | None, files: Collection[bytes]) -> bool:
        known: Collection[bytes] = self._visitors.get(visitor or "", ())
        return all(file in known for file in files)

    def _noting(self, visitor: str | None, path: str, send: Send) -> Send:
        """Give whoever asks for the page a cookie, and note which files a visitor is told of."""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start" and visitor is None and path == "/":
                cookie = f"{COOKIE}={secrets.token_urlsafe(32)}; Path=/; HttpOnly; SameSite=Strict"
                message["headers"] = [*message.get("headers", ()), (b"set-cookie", cookie.encode())]
            elif message["type"] == "http.response.body" and visitor is not None and not path.startswith(FILE):
                self._note(visitor, KEPT_FILE.findall(message.get("body", b"")))
            await send(message)

        return noting

    def _note(self, visitor: str, files: list[bytes]) -> None:
        if not files:
            return
        known = self._visitors.setdefault(visitor, OrderedDict())
        self._visitors.move_to_end(visitor)
        known.update(dict.fromkeys(files))
        while len(known) > MOST_FILES:
            known.popitem(last=False)
        while len(self._visitors) > MOST_VISITORS:
            self._visitors.popitem(last=False)


def _visitor(cookies: str) -> str | None:
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and re.fullmatch(r"[\w-]{43}", found.value) else None


async def _body(receive: Receive) -> bytes | None:
    """Read what a request says; None where that is too long, or its sender is gone."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
        if sum(map(len, parts)) > LONGEST_BODY:
            return None
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Give what was read to whoever reads next."""
    left = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": left.pop(), "more_body": False} if left else await receive()

    return again


def _files_named(body: bytes) -> list[bytes]:
    """Return the files that a request names, however their names are written in JSON."""
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False).encode("utf-8", "replace")
    except (ValueError, RecursionError):
        text = body
    return KEPT_FILE.findall(text)


async def _refuse(scope: Message, receive: Receive, send: Send, status: int, words: str) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words.encode()})

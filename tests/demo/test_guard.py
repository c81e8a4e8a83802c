"""What stands before the page: foreign names and pages, other people's images, and too many of them."""

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import pytest

from deeprftv2_arch.demo.folders import LOCK, PREFIX, own_folder, remove_dead
from deeprftv2_arch.demo.guard import COOKIE, IN_USE, LONGEST_BODY, Guard, Message, Receive, Room, Send, own_names

MINE, THEIRS = "a" * 64, "b" * 64
HOST = {"host": "127.0.0.1:7860"}


class Application:
    """Answers with the body that was asked for last, and remembers what it was sent."""

    def __init__(self) -> None:
        self.body = b"page"
        self.received = b""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.received = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": self.body})


class Asked:
    """A guard around an application, and who asks it."""

    def __init__(self, folder: Path, most: int = 1000, *names: str) -> None:
        self.application = Application()
        self.guard = Guard(self.application, own_names("127.0.0.1", names), Room(folder, most))

    def __call__(self, path: str = "/", body: bytes | None = None, kind: str = "http", **headers: str) -> Message:
        """Ask for a path; return the start of the answer."""
        sent: list[Message] = []
        named = HOST | {name.replace("_", "-"): value for name, value in headers.items()}
        scope = {
            "type": kind,
            "path": path,
            "method": "GET" if body is None else "POST",
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }

        async def receive() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            sent.append(message)

        asyncio.run(self.guard(scope, receive, send))
        return sent[0]

    def visitor(self) -> str:
        """Open the page; return the cookie."""
        ((name, value),) = self()["headers"]
        assert name == b"set-cookie"
        return str(re.fullmatch(rf"({COOKIE}=[\w-]+); Path=/; HttpOnly; SameSite=Strict", value.decode())[1])


@pytest.fixture
def ask(tmp_path: Path) -> Asked:
    return Asked(tmp_path, 1000, "lab.example")


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:7860", 200),
        ("localhost", 200),
        ("LOCALHOST.:7860", 200),
        ("192.168.3.4:7860", 200),
        ("[::1]:7860", 200),
        ("[fe80::1%25eth0]:7860", 200),
        ("lab.example:7860", 200),
        ("evil.example:7860", 403),
        ("localhost.evil.example", 403),
        ("127.0.0.1.evil.example", 403),
        ("0x7f000001", 403),
        ("evil.example@127.0.0.1", 200),  # which browsers never send; it is the address that is asked
        ("[", 403),
        ("", 403),
    ],
)
def test_foreign_names_are_refused(ask: Asked, host: str, status: int) -> None:
    assert ask(host=host)["status"] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "https://127.0.0.1:7860"}, 200),  # a proxy in between speaks TLS
        ({"origin": "http://127.0.0.1:8888"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # somebody follows a link
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, 200),
    ],
)
def test_foreign_pages_are_refused(ask: Asked, headers: dict[str, str], status: int) -> None:
    assert ask(**headers)["status"] == status


def test_sockets_are_closed(ask: Asked) -> None:
    assert ask(kind="websocket")["type"] == "websocket.close"


def test_image_is_read_by_the_visitor_who_was_told_of_it_alone(ask: Asked) -> None:
    mine, other = ask.visitor(), ask.visitor()
    assert mine != other
    path = f"/gradio_api/file=/tmp/kept/{MINE}/a.png"
    assert ask(path)["status"] == 403
    assert ask(path, cookie=mine)["status"] == 403
    ask.application.body = json.dumps([f"/tmp/kept/{MINE}/a.png"]).encode()
    ask("/gradio_api/upload", b"...", cookie=mine, content_length="3")
    assert ask(path, cookie=mine)["status"] == 200
    for cookie in (other, f"{COOKIE}=x", "broken;;=", ""):
        assert ask(path, cookie=cookie)["status"] == 403
    assert ask(f"/gradio_api/file=/kept/{MINE}/../{THEIRS}/a.png", cookie=mine)["status"] == 403
    assert ask(f"//gradio_api//file=/kept/{THEIRS}/a.png", cookie=mine)["status"] == 403
    assert ask("/gradio_api/file=/etc/passwd", cookie=mine)["status"] == 403


def test_image_of_somebody_else_is_not_restored(ask: Asked) -> None:
    mine = ask.visitor()
    for text in (f'"/kept/{THEIRS}/a.png"', f'"\\/kept\\u002f{THEIRS}\\/a.png"', f"no JSON /{THEIRS}/"):
        assert ask("/gradio_api/queue/join", text.encode(), cookie=mine)["status"] == 403
    assert ask.application.received == b""
    assert ask("/gradio_api/queue/join", b'{"data": []}', cookie=mine)["status"] == 200
    assert ask.application.received == b'{"data": []}'
    assert ask("/gradio_api/queue/join", bytes(LONGEST_BODY + 1), cookie=mine)["status"] == 403


def test_uploads_come_from_visitors_and_say_how_long_they_are(ask: Asked) -> None:
    assert ask("/gradio_api/upload", b"abc", content_length="3")["status"] == 411
    mine = ask.visitor()
    assert ask("/gradio_api/upload", b"abc", cookie=mine)["status"] == 411
    assert ask("/gradio_api/upload", b"abc", cookie=mine, content_length="-3")["status"] == 411
    assert ask("/gradio_api/upload", b"abc", cookie=mine, content_length="3")["status"] == 200


def test_all_uploads_together_have_a_bound(tmp_path: Path) -> None:
    ask = Asked(tmp_path, 1000)
    mine = ask.visitor()

    def upload(size: int) -> Any:
        return ask("/gradio_api/upload", b"", cookie=mine, content_length=str(size))["status"]

    assert [upload(1000), upload(1001), upload(1000)] == [200, 507, 200]  # nothing was stored
    (tmp_path / "a").mkdir()
    for name in ("a/old", "a/older", "new"):
        (tmp_path / name).write_bytes(bytes(300))
    for age, name in ((2, "a/old"), (3, "a/older")):
        os.utime(tmp_path / name, (time.time() - age * IN_USE,) * 2)
    assert upload(100) == 200
    assert upload(400) == 200
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["new", "old"]
    assert upload(800) == 507
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["new"]


def test_uploads_at_the_same_time_share_the_bound(tmp_path: Path) -> None:
    room = Room(tmp_path, 1000)
    assert room.take(600)
    assert not room.take(600)
    room.arrived(600)
    assert room.take(600)


def test_folders_of_dead_pages_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dead, young, foreign = (tmp_path / name for name in (f"{PREFIX}dead", f"{PREFIX}young", "other"))
    for folder in (dead, young, foreign):
        folder.mkdir()
        (folder / "image.png").touch()
    (dead / LOCK).touch()
    os.utime(dead, (time.time() - 3600,) * 2)
    with own_folder() as own:
        assert not dead.exists()
        os.utime(own, (time.time() - 3600,) * 2)
        remove_dead(tmp_path)  # as another page does when it starts
        assert own.is_dir()
    assert sorted(tmp_path.iterdir()) == sorted([young, foreign])

"""A message is handed to a real web hook and a real mail server by Apprise; why one was not taken is said."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from pytest_deploy.notify import channel
from tests.http_stand_in import JsonHandler, serving

LINES = ["cause     smoke failed", "anchor    tlog deploy.example.org/production 7 sWqb="]


@pytest.fixture
def web_hook() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The address of one that takes what it is given, and what that was."""
    taken: list[dict[str, Any]] = []

    class Hook(JsonHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path.startswith("/gone"):
                self.answer(410)
                return
            taken.append(body)
            self.answer(200, {})

    with serving(Hook) as address:
        yield address.replace("http://", "json://"), taken


class Mailbox:
    def __init__(self) -> None:
        self.letters: list[bytes] = []

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: ARG002, N802 -- aiosmtpd's signature
        self.letters.append(envelope.content)
        return "250 taken"


@pytest.fixture
def mail_server() -> Iterator[tuple[int, Mailbox]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    box = Mailbox()
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    yield port, box
    controller.stop()


def test_a_web_hook_gets_the_subject_and_the_lines(web_hook: tuple[str, list[dict[str, Any]]]) -> None:
    address, taken = web_hook

    assert channel.send(f"{address}/team", "rolled-back: deploy of 1.4.0", LINES) == ""
    assert [(message["title"], message["message"]) for message in taken] == [
        ("rolled-back: deploy of 1.4.0", "\n".join(LINES))
    ]


def test_a_mail_server_gets_a_letter_with_the_anchor_line(mail_server: tuple[int, Mailbox]) -> None:
    port, box = mail_server
    address = f"mailto://127.0.0.1:{port}?from=deploy@example.org&to=qa@example.org&mode=insecure"

    assert channel.send(address, "deployed: deploy of 1.4.0", LINES) == ""
    letter = box.letters[0].decode()
    assert "deployed: deploy of 1.4.0" in letter
    assert "tlog deploy.example.org/production 7 sWqb" in letter


def test_a_channel_that_is_gone_says_why_and_keeps_its_address_out_of_logs(
    web_hook: tuple[str, list[dict[str, Any]]], caplog: pytest.LogCaptureFixture
) -> None:
    address, taken = web_hook
    with caplog.at_level(logging.DEBUG):
        reason = channel.send(f"{address}/gone/with-a-token", "deployed", LINES)

    assert "410" in reason
    assert taken == []
    assert "with-a-token" not in caplog.text


def test_nobody_at_the_address_is_said() -> None:
    assert channel.send("json://127.0.0.1:9/team", "deployed", LINES) != ""


def test_an_address_of_no_kind_is_refused_by_what_would_be_right() -> None:
    assert channel.send("no address at all", "deployed", LINES).startswith(
        "the address is none that Apprise reads: right is"
    )


def test_a_channel_that_never_answers_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    hung = threading.Event()

    class Silent(JsonHandler):
        def do_POST(self) -> None:
            hung.wait(5)
            self.answer(200, {})

    monkeypatch.setattr(channel, "ANSWER_S", 0.3)
    with serving(Silent) as address:
        assert channel.send(address.replace("http://", "json://"), "deployed", LINES) == "no end within 0.3 s"
        hung.set()

"""A real Chromium, driven over the DevTools protocol (aiohttp's web socket is all it takes), with every request and complaint kept."""
# ruff: noqa: ASYNC240 -- one tab: nothing waits while a file is read

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from pytest_deploy.reports.export import BROWSERS, offline_options
from tests.required_programs import needs

T = TypeVar("T")
_SECONDS = 60


class Tab:
    """One tab, and what it asked of the network and complained of since it was opened."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: asyncio.Queue[str] = asyncio.Queue()
        self._listening = asyncio.create_task(self._listen())
        self.requests: list[str] = []
        """Every address asked for since the page was opened, blocked ones too."""
        self.complaints: list[str] = []
        """Console errors and warnings, what the content security policy refused, exceptions."""

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if "id" in said:
                self._answers.pop(said["id"]).set_result(said)
            else:
                self._note(said["method"], said["params"])

    def _note(self, method: str, said: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and said["type"] in {"error", "warning", "assert"}:
            self.complaints.append(str(said["args"]))
        elif method == "Log.entryAdded":
            self.complaints.append(said["entry"]["text"])
        self._events.put_nowait(method)

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """One command; its result. Fails where Chromium refuses it."""
        self._number += 1
        answer = self._answers[self._number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        said = await asyncio.wait_for(answer, _SECONDS)
        assert "error" not in said, (method, said["error"])
        return dict(said["result"])

    async def open(self, page: Path) -> None:
        """Load a file and wait until it has loaded; what is kept of the tab begins anew."""
        self.requests, self.complaints = [], []
        for domain in ("Page", "Network", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send(
            "Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0
        )
        await self.send("Page.navigate", url=page.resolve().as_uri())
        while await asyncio.wait_for(self._events.get(), _SECONDS) != "Page.loadEventFired":
            pass

    async def ask(self, expression: str) -> Any:
        """The value of a script expression in the page."""
        said = await self.send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def press(self, key: str) -> None:
        """One key, as a person presses it."""
        text = {"text": "\r"} if key == "Enter" else {}
        code = {"Tab": 9, "Enter": 13}[key]
        for kind in ("keyDown", "keyUp"):
            await self.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    async def look(self, width: int, *, dark: bool = False) -> None:
        """See the page at a width, light or dark."""
        await self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.send("Emulation.setEmulatedMedia", features=scheme)

    async def picture(self, into: Path, *, top: float = 0, height: float = 1200, width: float = 1440) -> None:
        """A picture of a stretch of the page, for people."""
        clip = {"x": 0, "y": top, "width": width, "height": height, "scale": 1}
        said = await self.send("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        into.write_bytes(base64.b64decode(said["data"]))

    def close(self) -> None:
        self._listening.cancel()


@asynccontextmanager
async def _tab() -> AsyncIterator[Tab]:
    name = next((name for name in BROWSERS if shutil.which(name)), "")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(name, *offline_options(Path(profile)), "--remote-debugging-port=0", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(profile) / "DevToolsActivePort")
            async with aiohttp.ClientSession() as session:
                async with session.get(f"http://127.0.0.1:{port}/json") as told:
                    address = next(one["webSocketDebuggerUrl"] for one in await told.json() if one["type"] == "page")
                async with session.ws_connect(address, max_msg_size=0) as socket:
                    tab = Tab(socket)
                    yield tab
                    tab.close()
        finally:
            process.kill()
            await process.wait()


async def _port(told: Path) -> int:
    for _ in range(_SECONDS * 20):
        if told.exists() and (lines := told.read_text(encoding="ascii").splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.05)
    raise AssertionError("Chromium never said where it listens")


def browse(act: Callable[[Tab], Awaitable[T]]) -> T:
    """Do something with a tab of a new Chromium."""
    if not any(shutil.which(name) for name in BROWSERS):
        needs("chromium")

    async def run() -> T:
        async with _tab() as tab:
            return await act(tab)

    return asyncio.run(run())

"""A real browser without a window, driven by its DevTools protocol: opened once for a module of tests.

The browser gets a fresh profile, and talks to nobody but the nodes: the services that it would ask by itself are turned
off. Where there is none, the tests that need it are skipped, and say so.
"""

import asyncio
import base64
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

WAIT_S = 60.0
"""Longest wait for something that must come: only a failing test waits as long."""
NAVIGATED = "Inspected target navigated or closed"
"""What the browser says of a question to a page that is there no more."""
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--remote-debugging-port=0",
)


def find() -> str | None:
    """The browser's program, if there is one."""
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Navigated(AssertionError):
    """The page went elsewhere, or was loaded anew, before it had answered."""


class Tab:
    """One page of the browser. `errors` are what its scripts failed with, and what its policy has refused."""

    def __init__(self, browser: "Browser", session: str, context: str) -> None:
        self.context = context
        self._browser = browser
        self._session = session
        self.errors: list[str] = []
        self.requests: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol for this page."""
        return await self._browser.call(method, session=self._session, **parameters)

    def take(self, event: dict[str, Any]) -> None:
        """An event of this page."""
        parameters = event["params"]
        match event["method"]:
            case "Runtime.exceptionThrown":
                details = parameters["exceptionDetails"]
                self.errors.append(str(details.get("exception", {}).get("description", details["text"])))
            case "Log.entryAdded" if parameters["entry"]["level"] == "error":
                entry = parameters["entry"]
                # A node that was killed refuses connections, which is what these tests are about.
                if entry["source"] != "network":
                    self.errors.append(entry["text"])
            case "Runtime.consoleAPICalled" if parameters["type"] == "error":
                self.errors.append(
                    str([one.get("value", one.get("description")) for one in parameters["args"]])
                )
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        answer = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(answer["exceptionDetails"])
        return answer["result"].get("value")

    async def wait(self, script: str, *, wait_s: float = WAIT_S) -> Any:
        """Wait until the expression is true; returns its value."""
        value = None
        try:
            async with asyncio.timeout(wait_s):
                while not value:
                    # A page that is being loaded anew answers nothing: it is not true yet.
                    with suppress(Navigated):
                        value = await self.run(script)
                    await asyncio.sleep(0 if value else 0.02)
        except TimeoutError:
            raise AssertionError(f"never true: {script}\n{self.errors}\n{await self.text()}") from None
        return value

    async def text(self) -> str:
        """What a person reads on the page."""
        return str(await self.run("document.body.innerText"))

    async def press(self, key: str, *, times: int = 1) -> None:
        """Press a key, by the name that the page gets."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27}
        text = {"Enter": "\r"}.get(key)
        for _ in range(times):
            down: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            await self.call(
                "Input.dispatchKeyEvent", type="keyDown", **down, **({"text": text} if text else {})
            )
            await self.call("Input.dispatchKeyEvent", type="keyUp", **down)

    async def type(self, text: str) -> None:
        """Type into what has the focus."""
        await self.call("Input.insertText", text=text)

    async def size(self, width: int, height: int, *, dark: bool) -> None:
        """Be a window of this size, on a system of light or dark colours."""
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def photograph(self, path: Path) -> None:
        """A picture of the whole page, as PNG."""
        picture = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


class Browser:
    """The browser's process and the connection to it. A context."""

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._tabs: dict[str, Tab] = {}

    async def __aenter__(self) -> Self:
        program = find()
        assert program is not None
        no_sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [program, *FLAGS, *no_sandbox, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        port_file = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(WAIT_S):
            while not (port_file.exists() and port_file.read_text().count("\n")):
                assert self._process.poll() is None, "the browser has ended"
                await asyncio.sleep(0.05)
        port, path = port_file.read_text().split("\n")[:2]
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=0)
        self._reader = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with suppress(ConnectionError, TimeoutError):
            async with asyncio.timeout(5):
                await self.call("Browser.close")
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        await self._socket.close()
        await self._http.close()
        try:
            await asyncio.to_thread(self._process.wait, 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and wait for its answer."""
        number = next(self._numbers)
        future = self._answers[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        await self._socket.send_json(message)
        async with asyncio.timeout(WAIT_S):
            answer: dict[str, Any] = await future
        return answer

    @asynccontextmanager
    async def tab(
        self, *, width: int = 1280, height: int = 900, dark: bool = False, beside: Tab | None = None
    ) -> AsyncIterator[Tab]:
        """A new page, as a context. It forgets all that others have stored, unless it is one more window `beside`
        another."""
        if beside is None:
            context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        else:
            context = beside.context
        # A window of its own is seen, beside others; a tab of a window hides the others.
        target = await self.call(
            "Target.createTarget", url="about:blank", browserContextId=context, newWindow=True
        )
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        session = attached["sessionId"]
        tab = self._tabs[session] = Tab(self, session, context)
        for domain in ("Page", "Runtime", "Log", "Network"):
            await tab.call(f"{domain}.enable")
        await tab.call("Emulation.setScrollbarsHidden", hidden=True)
        await tab.size(width, height, dark=dark)
        try:
            yield tab
        finally:
            del self._tabs[session]
            await self.call("Target.closeTarget", targetId=target["targetId"])
            if beside is None:
                await self.call("Target.disposeBrowserContext", browserContextId=context)

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            future = self._answers.pop(data.get("id", 0), None)
            if future is not None and not future.done():
                if "error" in data:
                    kind = Navigated if data["error"]["message"] == NAVIGATED else AssertionError
                    future.set_exception(kind(data["error"]))
                else:
                    future.set_result(data["result"])
            elif (tab := self._tabs.get(data.get("sessionId", ""))) is not None:
                tab.take(data)

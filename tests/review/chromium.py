"""Headless Chromium, driven by the DevTools protocol over a websocket; TensorBoard to look at."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-port=0", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
]  # fmt: skip

# All text, and all pictures that are loaded, inside shadow roots and frames too.
SEEN = """(() => {
  const texts = [], images = [];
  const walk = (node) => {
    if (node.nodeType === 3) { const t = node.textContent.trim(); if (t) texts.push(t); return; }
    if (node.nodeType === 1 && ['SCRIPT', 'STYLE', 'TEMPLATE'].includes(node.tagName)) return;
    if (node.tagName === 'IMG' && node.complete && node.naturalWidth > 60) images.push(node.naturalWidth);
    if (node.tagName === 'IFRAME') { const inner = node.contentDocument; if (inner && inner.body) walk(inner.body); }
    if (node.shadowRoot) walk(node.shadowRoot);
    node.childNodes.forEach(walk);
  };
  if (document.body) walk(document.body);
  return {text: texts.join('\\n'), images: images};
})()"""


def find_chromium() -> str | None:
    """The browser of the system's packages."""
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Page:
    """One tab of the browser."""

    def __init__(self, run: Callable[..., Any], socket_: Any) -> None:
        self._run, self._socket, self._number = run, socket_, 0

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        return self._run(self._answer(self._number, method, parameters))

    async def _answer(self, number: int, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message = json.loads((await asyncio.wait_for(self._socket.receive(), 60)).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script: str) -> Any:
        """What an expression gives."""
        found = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def open(self, url: str) -> None:
        self.send("Page.navigate", url="about:blank")
        self.send("Page.navigate", url=url)

    def wait(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 40) -> dict[str, Any]:
        """What is seen as soon as it is as expected; fails with what is there at the end."""
        end = time.monotonic() + seconds
        while True:
            seen = self.evaluate(SEEN)
            if condition(seen):
                return seen
            assert time.monotonic() < end, f"not seen: {seen['images']} {seen['text'][:3000]}"
            time.sleep(0.3)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browsing(executable: str, profile: Path, width: int = 1400, height: int = 900) -> Iterator[Page]:
    """A page of a browser of its own."""
    import aiohttp

    command = [executable, *FLAGS, f"--window-size={width},{height}", f"--user-data-dir={profile}", "about:blank"]
    with (profile.parent / "chromium.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    loop = asyncio.new_event_loop()
    session = None
    try:
        port = _until(lambda: (profile / "DevToolsActivePort").read_text().split()[0])
        pages = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=20).read())
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")

        async def connect() -> Any:
            nonlocal session
            session = aiohttp.ClientSession()
            return await session.ws_connect(address, max_msg_size=0)

        page = Page(loop.run_until_complete, loop.run_until_complete(connect()))
        page.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        yield page
    finally:
        if session is not None:
            loop.run_until_complete(session.close())
        loop.close()
        process.terminate()
        process.wait(20)


@contextmanager
def tensorboard(logdir: Path) -> Iterator[str]:
    """The address of a TensorBoard that shows a directory."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable,
        "-m",
        "tensorboard.main",
        "--logdir",
        str(logdir),
        "--port",
        str(port),
        "--load_fast=false",
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    address = f"http://127.0.0.1:{port}"
    try:
        _until(lambda: json.loads(urllib.request.urlopen(f"{address}/data/runs", timeout=5).read()) or _fail())
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _fail() -> None:
    raise OSError("nothing loaded yet")


def _until(attempt: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while True:
        try:
            return attempt()
        except (OSError, IndexError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)

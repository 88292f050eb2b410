"""A browser that a test operates as a person does, with keys and clicks, over Chromium's DevTools protocol."""

import base64
import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browser import FLAGS, browser

# Chromium reads commands from descriptor 3, and writes answers and events to descriptor 4
LAUNCHER = """
import os, sys
commands, answers, *command = sys.argv[1:]
os.dup2(int(commands), 3)
os.dup2(int(answers), 4)
os.execv(command[0], command)
"""
CODES = {"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40,
         "Home": 36, "End": 35}  # fmt: skip
SHIFT = 8
SECONDS = 30


class Page:
    """A tab of the browser."""

    def __init__(self, commands: int, answers: int):
        self._commands, self._answers = commands, answers
        self._received, self._count, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setScrollbarsHidden", hidden=True)  # as on a telephone

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are kept."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        os.write(
            self._commands,
            json.dumps(message | ({"sessionId": self._session} if self._session else {})).encode() + b"\0",
        )
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "error" not in answer, answer["error"]
        found: dict[str, Any] = answer["result"]
        return found

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            assert select.select([self._answers], [], [], SECONDS)[0], "the browser does not answer"
            self._received += os.read(self._answers, 1 << 20)
        message, _, self._received = self._received.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, address: str, width: int = 1280) -> None:
        """Open an address in a window of this width."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.call("Page.navigate", url=address)
        self.wait_for("document.readyState === 'complete'")

    def see(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + SECONDS
        while not self.see(expression):
            assert time.monotonic() < deadline, f"never true: {expression}"
            time.sleep(0.02)

    def press(self, key: str, modifiers: int = 0) -> None:
        """Press a key that is named."""
        keys: dict[str, Any] = {"key": key, "code": key, "windowsVirtualKeyCode": CODES[key], "modifiers": modifiers}
        self.call("Input.dispatchKeyEvent", type="keyDown", **keys, **({"text": "\r"} if key == "Enter" else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **keys)

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def click(self, expression: str, times: int = 1) -> None:
        """Click in the middle of an element, once or twice."""
        place = f"(({expression}).scrollIntoView({{block: 'nearest'}}), ({expression}).getClientRects()[0])"
        x, y = self.see(f"(box => [box.x + box.width / 2, box.y + box.height / 2])({place})")
        for count in range(1, times + 1):
            for kind in ("mousePressed", "mouseReleased"):
                self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=count)

    def screenshot(self, file: Path) -> None:
        """Write what is seen as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))

    @property
    def asked(self) -> list[str]:
        """The addresses that the page has asked for since it was opened."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [one["request"]["url"] for one in sent]

    @property
    def problems(self) -> list[Any]:
        """Errors of the page's scripts, and what the browser refused it."""
        kinds = ("Runtime.exceptionThrown", "Log.entryAdded")
        return [event["params"] for event in self.events if event["method"] in kinds]


@contextmanager
def operated_browser(profile: Path) -> Iterator[Page]:
    """A page of a new browser, which ends with the block."""
    commands, answers = _high_pipe(), _high_pipe()
    flags = [flag for flag in FLAGS if not flag.startswith("--virtual-time")]
    command = [browser(), *flags, f"--user-data-dir={profile}", "--remote-debugging-pipe"]
    launch = [sys.executable, "-c", LAUNCHER, str(commands[0]), str(answers[1]), *command]
    with subprocess.Popen(launch, pass_fds=(commands[0], answers[1]), stderr=subprocess.DEVNULL) as process:
        os.close(commands[0])
        os.close(answers[1])
        try:
            yield Page(commands[1], answers[0])
        finally:
            os.close(commands[1])  # the browser ends when it is closed
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            os.close(answers[0])


def _high_pipe() -> tuple[int, int]:
    """A pipe whose descriptors are none of those that the browser gets."""
    low = os.pipe()
    high = [fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 10) for one in low]
    for one in low:
        os.close(one)
    return high[0], high[1]

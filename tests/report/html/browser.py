"""A headless Chromium that tests drive through its debugging pipe, without a driver or a socket."""

import base64
import json
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab of a headless Chromium.

    Attributes:
        errors: Errors on the console, and exceptions of scripts, since the last page was opened.
        requests: Addresses that the page requested since then.
    """

    def __init__(self) -> None:
        assert CHROMIUM
        self.errors: list[str] = []
        self.requests: list[str] = []
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        (from_test, to_browser), (from_browser, to_test) = os.pipe(), os.pipe()
        flags = "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run"
        command = f"{shlex.quote(CHROMIUM)} {flags} --remote-debugging-pipe --user-data-dir={self._profile.name}"
        self._process = subprocess.Popen(
            ["bash", "-c", f"exec {command} about:blank 3<&{from_test} 4>&{to_test}"],
            pass_fds=(from_test, to_test),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_test)
        os.close(to_test)
        self._to, self._from, self._read, self._number = to_browser, from_browser, b"", 0
        self._session: str | None = None
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime"):
            self._call(f"{domain}.enable")

    def open(self, page: Path, *, width: int, dark: bool = False) -> None:
        """Open a page in a window of some width, with the reader's preference for colours."""
        self.errors.clear()
        self.requests.clear()
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])
        self._call("Page.navigate", url=page.as_uri())
        while self._message().get("method") != "Page.loadEventFired":
            pass

    def run(self, script: str) -> Any:
        """Return the value of an expression in the page."""
        done = self._call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def press(self, key: str) -> None:
        """Press and release a key."""
        text = {"text": "\r", "windowsVirtualKeyCode": 13} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=key, code=key, **text)

    def screenshot(self, file: Path) -> None:
        """Write a picture of the whole page."""
        shot = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        file.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        """End the browser."""
        self._process.kill()
        self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._profile.cleanup()

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        whole = message | ({"sessionId": self._session} if self._session else {})
        os.write(self._to, json.dumps(whole).encode() + b"\0")
        while (answer := self._message()).get("id") != self._number:
            pass
        assert "error" not in answer, answer
        return answer["result"]

    def _message(self) -> dict[str, Any]:
        """Return the next message of the browser, after noting requests and errors in it."""
        while b"\0" not in self._read:
            part = os.read(self._from, 1 << 20)
            assert part, "the browser has ended"
            self._read += part
        line, _, self._read = self._read.partition(b"\0")
        message = json.loads(line)
        method, details = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif method == "Runtime.exceptionThrown" or (
            method in ("Log.entryAdded", "Runtime.consoleAPICalled")
            and "error" in (details.get("type"), details.get("entry", {}).get("level"))
        ):
            self.errors.append(json.dumps(details))
        return message

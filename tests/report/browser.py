# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium driven over the pipes of its debugging protocol: no driver, no socket, no network."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
PATIENCE_S = 90.0
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-extensions", "--disable-background-networking", "--window-size=1200,900"),
)


class Page:
    """One open page; `problems` are console errors and exceptions, `requests` addresses asked for beside its own."""

    def __init__(self, address, profile):
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        def pipes():
            # the protocol wants its commands on 3 and answers on 4
            os.dup2(to_browser, 100)
            os.dup2(from_browser, 101)
            os.dup2(100, 3)
            os.dup2(101, 4)

        self._process = subprocess.Popen(
            [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            close_fds=False,
            preexec_fn=pipes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number, self._read, self._session = 0, b"", None
        self.problems, self.requests, self._loaded = [], [], False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self._address = address
        self.call("Page.navigate", url=address)
        self._until(lambda: self._loaded)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, TimeoutError):
            self._session = None
            self.call("Browser.close")
        self._process.wait(PATIENCE_S)
        os.close(self._out)
        os.close(self._in)

    def call(self, method, **parameters):
        """Result of one command of the protocol."""
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda: None, lambda one: one if one.get("id") == number else None)
        assert "error" not in answer, (method, answer["error"])
        return answer["result"]

    def _until(self, done, wanted=lambda one: None):
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            if done():
                return None
            ready, _, _ = select.select([self._in], [], [], 1.0)
            if ready:
                self._read += os.read(self._in, 1 << 20)
            while b"\0" in self._read:
                text, _, self._read = self._read.partition(b"\0")
                one = json.loads(text)
                self._note(one)
                if (found := wanted(one)) is not None:
                    return found
        raise TimeoutError(f"the browser said nothing for {PATIENCE_S} s")

    def _note(self, one):
        method, said = one.get("method"), one.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif (method == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning")) or (
            method in ("Runtime.exceptionThrown", "Log.entryAdded")
        ):
            self.problems.append(json.dumps(said)[:600])
        elif method == "Network.requestWillBeSent":
            address = said["request"]["url"]
            if address != self._address and not address.startswith("data:"):
                self.requests.append(address)

    def value(self, expression):
        """What an expression gives in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector):
        """Text of the first element that matches."""
        return self.value(f"document.querySelector({json.dumps(selector)}).textContent")

    def facts(self):
        """The list of figures beside the picture."""
        return self.value(
            "Object.fromEntries([...document.querySelectorAll('#facts dt')]"
            ".map(term => [term.textContent, term.nextSibling.textContent]))"
        )

    def click(self, selector, across=0.5, down=0.5):
        """Press and release the mouse at a share of the element's width and height."""
        box = self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center', behavior: 'instant'}); "
            "const b = e.getBoundingClientRect(); return [b.left, b.top, b.width, b.height]; })()"
        )
        at = {"x": box[0] + across * box[2], "y": box[1] + down * box[3]}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def choose(self, selector, option):
        """Pick an option as a person does, with its event."""
        self.value(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); e.value = {json.dumps(option)}; "
            "e.dispatchEvent(new Event('change', {bubbles: true})); })()"
        )

    def screenshot(self, path):
        """What the window shows, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))

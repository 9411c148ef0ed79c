"""A real Chromium without a window, by its DevTools protocol on two pipes."""

import base64
import json
import os
import shutil
import subprocess
import tempfile


BINARY = "/usr/bin/chromium"


class Browser:
    """
        page = Browser()
        page.open("http://127.0.0.1/")
        page.click("form button")
        page.stop()

    said has what the page's console, policy and dialogs had to say.
    """

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix="chromium-")
        self.n = 0
        self.said = []
        self.loads = 0
        self.input = b""

        to_read, self.to = os.pipe()
        self.back, back_write = os.pipe()

        def pipes():
            # where Chromium looks for them; copies first, they may be these
            one, two = os.dup(to_read), os.dup(back_write)
            while min(one, two) < 5:
                one, two = os.dup(one), os.dup(two)
            os.dup2(one, 3)
            os.dup2(two, 4)

        self.process = subprocess.Popen(
            [BINARY, "--headless=new", "--no-sandbox", "--disable-gpu",
             "--disable-dev-shm-usage", "--hide-scrollbars",
             "--no-first-run", "--disable-background-networking",
             "--disable-component-update",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
             f"--user-data-dir={self.dir}", "--remote-debugging-pipe",
             "about:blank"],
            preexec_fn=pipes, close_fds=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_read)
        os.close(back_write)

        self.session = None
        target = self.call("Target.createTarget", url="about:blank")
        self.session = self.call("Target.attachToTarget", flatten=True,
                                 targetId=target["targetId"])["sessionId"]
        for domain in "Page", "Runtime", "Log":
            self.call(f"{domain}.enable")

    def stop(self):
        self.session = None
        try:
            self.call("Browser.close")
            self.process.wait(10)
        except (EOFError, OSError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)
        shutil.rmtree(self.dir, ignore_errors=True)

    def call(self, method, **params):
        self.n += 1
        message = {"id": self.n, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")

        while True:
            answer = self.receive()
            if answer.get("id") == self.n:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self.event(answer)

    def receive(self):
        while b"\0" not in self.input:
            data = os.read(self.back, 1 << 20)
            if not data:
                raise EOFError("Chromium is gone")
            self.input += data
        message, self.input = self.input.split(b"\0", 1)
        return json.loads(message)

    def event(self, event):
        method = event.get("method")
        if method == "Page.loadEventFired":
            self.loads += 1
        elif method in ("Log.entryAdded", "Runtime.consoleAPICalled",
                        "Runtime.exceptionThrown",
                        "Page.javascriptDialogOpening"):
            self.said.append(event["params"])

    def loaded(self, since):
        while self.loads == since:
            self.event(self.receive())

    def open(self, url):
        since = self.loads
        self.call("Page.navigate", url=url)
        self.loaded(since)

    def run(self, script):
        """The value of an expression in the page."""

        result = self.call("Runtime.evaluate", expression=script,
                           returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def point(self, selector):
        return self.run("""(() => {
            const e = document.querySelector(%s);
            e.scrollIntoView({block: "center"});
            const r = e.getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2];
        })()""" % json.dumps(selector))

    def click(self, selector, load=True):
        """With the mouse, where it is; load: another page comes of it."""

        since = self.loads
        x, y = self.point(selector)
        for type in "mousePressed", "mouseReleased":
            self.call("Input.dispatchMouseEvent", type=type, x=x, y=y,
                      button="left", clickCount=1)
        if load:
            self.loaded(since)

    def type(self, selector, text):
        self.click(selector, load=False)
        self.call("Input.insertText", text=text)

    def key(self, key, code, load=False):
        since = self.loads
        for type in "keyDown", "keyUp":
            more = {"text": "\r"} if key == "Enter" and type == "keyDown" \
                else {}
            self.call("Input.dispatchKeyEvent", type=type, key=key,
                      code=key, windowsVirtualKeyCode=code, **more)
        if load:
            self.loaded(since)

    def size(self, width, height=900, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width,
                  height=height, deviceScaleFactor=scale,
                  mobile=width < 600)

    def scheme(self, scheme):
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme}])

    def picture(self, path):
        """A PNG of the whole page; its width and height."""

        data = base64.b64decode(self.call("Page.captureScreenshot",
                                          captureBeyondViewport=True)["data"])
        with open(path, "wb") as f:
            f.write(data)
        return (int.from_bytes(data[16:20], "big"),
                int.from_bytes(data[20:24], "big"))



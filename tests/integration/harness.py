"""What the integration tests share: the real binary on free ports, and clients for its doors.

Each Node has its own data directory and lets the kernel choose its ports; the "ready" line of its log
says which. Nothing here sleeps to be on the safe side: wait_for() asks again until something is so, and
a test that waits in vain says for what, with the log of the node.

Meson passes AISYS_RUNTIME (the binary) and AISYS_CONFIG (its configuration files).
"""
import base64
import http.client
import itertools
import json
import os
import re
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import unittest

RUNTIME = os.environ["AISYS_RUNTIME"]
CONFIG = os.environ["AISYS_CONFIG"]
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data")
PATIENCE = 60.0  # seconds until something that must happen counts as not happening
SANITIZED = os.environ.get("AISYS_SANITIZE", "none") != "none"
SKIPPED = 77  # what meson takes for a skipped test


def wait_for(what, condition, patience=PATIENCE):
    """Ask until condition() is true, and return that; what: for the words of a failure."""
    until = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {patience:g} s in vain: {what}")
        time.sleep(0.005)


def data_file(name):
    with open(os.path.join(DATA, name), "rb") as f:
        return f.read()


def environment(**more):
    """The caller's, without what would configure the node, and without meson's MALLOC_PERTURB_: filling
    what is allocated would make real memory of what strangers only announce."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("AI_") and k != "ENVIRONMENT"
           and k not in ("NOTIFY_SOCKET", "JOURNAL_STREAM", "WATCHDOG_USEC", "WATCHDOG_PID",
                            "MALLOC_PERTURB_")}
    env.update(more)
    return env


def run(*args, env=None, config=True, timeout=PATIENCE, stdin=None):
    """Run the binary to its end: its code, standard output and standard error."""
    command = [RUNTIME, *(["--config-dir", CONFIG] if config else []), *args]
    done = subprocess.run(command, env=environment(**(env or {})), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout,
                          encoding="utf-8", errors="replace")
    return done.returncode, done.stdout, done.stderr


class Scratch:
    """A directory that goes when the test has ended. Its path is short: local sockets go into it."""

    def __init__(self):
        self.path = tempfile.mkdtemp(prefix="aisys-", dir="/tmp")

    def remove(self):
        for root, dirs, _ in os.walk(self.path):
            for d in dirs:
                os.chmod(os.path.join(root, d), 0o700)
        shutil.rmtree(self.path, ignore_errors=True)


class Node:
    """One aisys-runtime. Use it with "with", or close() it."""

    def __init__(self, *args, only="vision_processing", data=None, env=None, ready=True, sets=(),
                 role="pc2", limits=(), pass_fds=()):
        self.scratch = None if data else Scratch()
        self.data = data or self.scratch.path
        self.limits = limits
        self.lines = []
        self.changed = threading.Condition()
        self.request = self.http = self.metrics = None
        settings = ["data.dir=" + self.data, "network.request_port=0", "network.port=0",
                    "network.events_port=0", "network.link_port=0", "monitoring.port=0", *sets]
        command = [RUNTIME, "--role", role, "--config-dir", CONFIG]
        if only:
            command += ["--only", only]
        for setting in settings:
            command += ["--set", setting]
        self.process = subprocess.Popen([*command, *args], env=environment(**(env or {})),
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, preexec_fn=self._limit if limits else None,
                                        pass_fds=pass_fds)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if ready:
            self.wait_ready()

    def _limit(self):
        for what, value in self.limits:
            resource.setrlimit(what, (value, value))

    def _read(self):
        for line in self.process.stderr:
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\n"))
                self.changed.notify_all()
        with self.changed:
            self.lines.append("(end of the log)")
            self.changed.notify_all()

    def log(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_line(self, pattern, patience=PATIENCE, after=0):
        """The match of the first line, from number @after on, that has @pattern."""
        until = time.monotonic() + patience
        seen = after
        with self.changed:
            while True:
                while seen < len(self.lines):
                    match = re.search(pattern, self.lines[seen])
                    if match:
                        return match
                    seen += 1
                left = until - time.monotonic()
                if left <= 0 or (self.lines and self.lines[-1] == "(end of the log)"):
                    raise AssertionError(f"no line of the log has '{pattern}':\n" + "\n".join(self.lines))
                self.changed.wait(left)

    def wait_ready(self):
        match = self.wait_line(r" ready .*request=(\S+) http=(\d+) metrics=(\d+) ")
        self.request, self.http, self.metrics = match[1], int(match[2]), int(match[3])

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    @property
    def pid(self):
        return self.process.pid

    @property
    def ipc(self):
        return "ipc://" + os.path.join(self.data, "run/request.sock")

    def send(self, number):
        self.process.send_signal(number)

    def wait(self, patience=PATIENCE):
        """The exit code, when it has ended and all of its log was read."""
        try:
            code = self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the node has not ended in {patience:g} s:\n{self.log()}") from None
        self.reader.join(PATIENCE)
        return code

    def stop(self, number=signal.SIGTERM):
        self.send(number)
        return self.wait()

    def kill(self):
        self.process.kill()
        return self.wait()

    def close(self):
        """End it, by force if need be. A sanitizer's report fails the test."""
        try:
            if self.process.poll() is None:
                self.send(signal.SIGTERM)
                try:
                    self.process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    self.process.kill()
                    self.process.wait()
            self.reader.join(PATIENCE)
            self.process.stderr.close()
        finally:
            if self.scratch:
                self.scratch.remove()
        found = [x for x in self.lines if re.search(r"Sanitizer|runtime error:", x)]
        if found:
            raise AssertionError("a sanitizer found something:\n" + "\n".join(self.lines))

    # ---- What the kernel knows of it

    def status(self, key):
        with open(f"/proc/{self.pid}/status") as f:
            return int(re.search(rf"^{key}:\s+(\d+)", f.read(), re.M)[1])

    def rss_mib(self):
        return self.status("VmRSS") / 1024

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # ---- Its doors

    def ask(self, to, method, args=None, timeout=PATIENCE, url=None, **more):
        """A JSON call on the request door: the answer's object."""
        call = {"to": to, "method": method, "args": args or {}, **more}
        with Req(url or self.request, timeout) as req:
            return json.loads(req.ask(json.dumps(call).encode()))

    def health_check(self, timeout=PATIENCE, url=None):
        with Req(url or self.request, timeout) as req:
            return req.ask(b"health_check").decode()

    def get(self, path, port=None, method="GET", body=None, headers=None, timeout=PATIENCE):
        """An HTTP request: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def post(self, actor, method, args=None, body=None, headers=None, timeout=PATIENCE):
        """A call on HTTP: status and the answer's object."""
        if body is None:
            body = json.dumps(args or {}).encode()
        status, _, answer = self.get(f"/api/v1/actors/{actor}/{method}", method="POST", body=body,
                                     headers={"Content-Type": "application/json", **(headers or {})},
                                     timeout=timeout)
        return status, json.loads(answer)


# ---- NNG's wire: a client of a REP socket ------------------------------------------------------------

REQ_PROTOCOL = 0x30
_request_ids = itertools.count(1)


def connect(url, timeout=PATIENCE):
    """A plain socket at tcp://host:port or ipc://path."""
    scheme, rest = url.split("://", 1)
    if scheme == "ipc":
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(timeout)
        s.connect(rest)
        return s
    host, port = rest.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout)


class Req:
    """One connection to a request door; requests may overlap."""

    def __init__(self, url, timeout=PATIENCE):
        self.ipc = url.startswith("ipc:")
        self.socket = connect(url, timeout)
        self.answers = {}
        try:
            self.socket.sendall(struct.pack(">BBBBHH", 0, 0x53, 0x50, 0, REQ_PROTOCOL, 0))
            hello = self._take(8)
        except BaseException:
            self.socket.close()
            raise
        if hello != b"\0SP\0\0\x31\0\0":
            raise AssertionError(f"the door is no REP socket: {hello!r}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def _take(self, n):
        data = bytearray()
        while len(data) < n:
            got = self.socket.recv(min(n - len(data), 1 << 20))
            if not got:
                raise ConnectionResetError(f"the door hung up after {len(data)} of {n} bytes")
            data += got
        return bytes(data)

    def header(self, n):
        """What comes before a message of @n bytes."""
        return (b"\1" if self.ipc else b"") + struct.pack(">Q", n)

    def send(self, body):
        number = next(_request_ids) & 0x7fffffff | 0x80000000
        self.socket.sendall(self.header(len(body) + 4) + struct.pack(">I", number) + body)
        return number

    def receive(self, number):
        while number not in self.answers:
            if self.ipc:
                self._take(1)
            n, = struct.unpack(">Q", self._take(8))
            message = self._take(n)
            self.answers[struct.unpack(">I", message[:4])[0]] = message[4:]
        return self.answers.pop(number)

    def ask(self, body):
        return self.receive(self.send(body))


# ---- Tests -----------------------------------------------------------------------------------------

class NodeTest(unittest.TestCase):
    """Tests that share one node; settings() says which. It must be healthy after each of them."""

    maxDiff = None
    node = None
    node_args = {}

    @classmethod
    def setUpClass(cls):
        cls.node = Node(**cls.node_args)

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def tearDown(self):
        self.assertIsNone(self.node.process.poll(), "the node has ended:\n" + self.node.log())
        self.assertEqual(self.node.health_check(), "healthy")

    def error(self, answer, code, *words):
        """@answer, of the request door, is an error with that code and these words in it."""
        self.assertIs(answer.get("ok"), False, answer)
        self.http_error(answer, code, *words)

    def http_error(self, answer, code, *words):
        error = answer["error"]
        self.assertEqual(error["code"], code, error)
        self.assertTrue(error["message"], error)
        self.assertIsInstance(error["details"], list)
        for word in words:
            self.assertIn(word, json.dumps(error), error)


def base64_of(data):
    return base64.b64encode(data).decode()


def png_noise(width, height, seed=1):
    """A grey picture that a text reader has to work on."""
    import random
    import zlib
    rows = random.Random(seed)
    raw = b"".join(b"\0" + rows.randbytes(width) for _ in range(height))

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(raw, 1)) + chunk(b"IEND", b""))


def main():
    """Run the tests of the calling script; a script that could run none is skipped."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    if not result.wasSuccessful():
        sys.exit(1)
    if result.testsRun and len(result.skipped) >= result.testsRun:
        sys.exit(SKIPPED)

"""Clients that behave badly: the doors answer the others, and memory stays bounded."""
import contextlib
import json
import socket
import struct
import time
import unittest

import harness
from harness import Node, NodeTest, Req, connect, wait_for

REQUEST_MAX = 24 << 20   # of a request, on both doors
SECOND = 10 if harness.SANITIZED else 1
HELLO = b"\0SP\0\0\x30\0\0"


def announce(bytes_):
    return struct.pack(">Q", bytes_)


class Strangers(NodeTest):
    def setUp(self):
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def connect(self, data=b"", url=None):
        s = self.stack.enter_context(contextlib.closing(connect(url or self.node.request)))
        s.sendall(data)
        return s

    def http_url(self):
        return f"tcp://127.0.0.1:{self.node.http}"

    def assert_serves(self, why):
        """Both doors answer somebody else within a second."""
        from_s = time.monotonic()
        self.assertEqual(self.node.health_check(timeout=SECOND), "healthy", why)
        status, _, body = self.node.get("/health", timeout=SECOND)
        self.assertEqual((status, json.loads(body)["status"]), (200, "healthy"), why)
        self.assertLess(time.monotonic() - from_s, 2 * SECOND, why)

    def assert_grew_less(self, before, mib):
        if not harness.SANITIZED: # they have shadows of memory, and keep what is freed
            self.assertLess(self.node.rss_mib() - before, mib)

    def assert_hangs_up(self, s, why):
        def gone():
            try:
                return s.recv(65536) == b""
            except ConnectionError:
                return True
        s.settimeout(harness.PATIENCE)
        wait_for(f"the node hangs up on a client that {why}", gone)

    # ---- The request door

    def test_half_messages(self):
        rows = (
            ("says nothing", b""),
            ("says half a hello", HELLO[:3]),
            ("says hello alone", HELLO),
            ("announces half", HELLO + announce(100)[:5]),
            ("sends half a message", HELLO + announce(100) + b"\x80\0\0\1" + b"health"),
            ("announces all that is allowed", HELLO + announce(REQUEST_MAX) + b"\x80\0\0\1x"),
        )
        for why, data in rows:
            with self.subTest(why):
                self.connect(data)
                self.assert_serves(why)

    def test_not_nng(self):
        for data in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0SP\0\0\x10\0\0", b"\xff" * 64):
            with self.subTest(data=data):
                self.assert_hangs_up(self.connect(data), "speaks something else")
                self.assert_serves("something else was spoken")

    def test_huge_announcements(self):
        """Above the limit: the client is gone, and nothing was allocated."""
        before = self.node.rss_mib()
        for bytes_ in (REQUEST_MAX + 5, 1 << 32, (1 << 63) - 1, (1 << 64) - 1):
            with self.subTest(bytes=bytes_):
                self.assert_hangs_up(self.connect(HELLO + announce(bytes_)), "announces too much")
                self.assert_serves("too much was announced")
        self.assert_grew_less(before, 100)

    def test_many_large_announcements(self):
        """Within the limit, by as many as there is room for: what does not arrive takes no memory."""
        before = self.node.rss_mib()
        for _ in range(60):
            self.connect(HELLO + announce(REQUEST_MAX) + b"\x80\0\0\1" + b"x" * 1000)
        self.assert_serves("24 MiB were announced by each of 60 clients")
        self.assert_grew_less(before, 100)

    def test_no_request_id(self):
        """A message whose header never ends, or is not there, is dropped; a client with a good one is served."""
        for body in (b"", b"\0", b"\0\0\0\1" * 100):
            with self.subTest(body=body):
                self.connect(HELLO + announce(len(body)) + body)
                self.assert_serves("a message had no id")

    def test_more_silent_clients_than_the_door_takes(self):
        for i in range(300):
            try:
                self.connect(HELLO if i % 2 else b"")
            except ConnectionError:
                pass # turned away: as it should be
        wait_for("a newcomer is served", self.served)
        self.stack.close()
        wait_for("the door is as before", self.served)

    def served(self):
        try:
            return self.node.health_check(timeout=SECOND) == "healthy"
        except (OSError, AssertionError):
            return False

    def test_message_too_large(self):
        """24 MiB pass; a byte more, and the connection goes."""
        body = b'{"to":"vision_processing","method":"Analyze","args":{"image":"%s"}}'
        room = REQUEST_MAX - 4 - len(body) + 2
        with Req(self.node.request) as req:
            answer = json.loads(req.ask(body % (b"A" * (room - room % 4))))
            self.error(answer, "INVALID_ARGUMENT", "image", "16777216")
        with Req(self.node.request) as req, self.assertRaises(ConnectionError):
            req.ask(body % (b"A" * (REQUEST_MAX + 4)))
        self.assert_serves("a message was too large")
        if not harness.SANITIZED: # they keep what is freed
            wait_for("memory is given back", lambda: self.node.rss_mib() < 250)

    def test_client_that_leaves_before_its_answer(self):
        image = harness.base64_of(harness.data_file("receipt.png"))
        call = json.dumps({"to": "vision_processing", "method": "Analyze",
                           "args": {"image": image, "want": ["TEXT"]}}).encode()
        for _ in range(4):
            with Req(self.node.request) as req:
                req.send(call)
        self.assert_serves("clients left")
        wait_for("no job is left", lambda: self.node.ask("vision_processing", "Stats")["result"]["open"] == 0)

    def slow_call(self):
        image = harness.base64_of(harness.png_noise(200, 150))
        return json.dumps({"to": "vision_processing", "method": "Analyze", "deadline_ms": 3000 * SECOND,
                           "args": {"image": image, "want": ["TEXT"]}}).encode()

    def wait_idle(self):
        wait_for("the rest is over", lambda: self.node.ask("vision_processing", "Stats")["result"]["open"] == 0)

    def refusals(self, answers, words):
        """The answers that are refusals with these words; there may be none of another kind."""
        refused = [a for a in map(json.loads, answers)
                   if not a["ok"] and a["error"]["code"] != "DEADLINE_EXCEEDED"]
        for answer in refused:
            self.error(answer, "RESOURCE_EXHAUSTED", words)
        return refused

    def test_one_client_with_very_many_requests(self):
        """It is told to wait; others are served meanwhile."""
        call = self.slow_call()
        with Req(self.node.request) as req:
            numbers = [req.send(call) for _ in range(100)]
            self.assert_serves("one client has 100 requests open")
            self.assertTrue(self.refusals(map(req.receive, numbers), "64 calls"))
        self.wait_idle()

    def test_all_clients_with_very_many_requests(self):
        call = self.slow_call()
        clients = [self.stack.enter_context(Req(self.node.request)) for _ in range(5)]
        numbers = [(client, client.send(call)) for _ in range(40) for client in clients]
        self.assert_serves("200 requests are open")
        self.assertTrue(self.refusals((c.receive(n) for c, n in numbers), "96 calls"))
        self.wait_idle()

    def test_client_that_does_not_read(self):
        """Its answers wait for it; everybody else's do not."""
        call = b'{"to":"orchestrator","method":"Describe","args":{"actor":"vision_processing"}}'
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.settimeout(5)
        self.stack.enter_context(contextlib.closing(s))
        s.connect(("127.0.0.1", int(self.node.request.rsplit(":", 1)[1])))
        s.sendall(HELLO)
        try:
            for i in range(20000):
                s.sendall(announce(len(call) + 4) + struct.pack(">I", 0x80000000 | i) + call)
        except (socket.timeout, ConnectionError):
            pass # the door has stopped reading from it, or has had enough
        wait_for("others are served again", self.served, 5 * SECOND)

    # ---- HTTP

    def test_http_half_requests(self):
        rows = (
            ("says nothing", b""),
            ("sends half a request line", b"GET /hea"),
            ("sends half a header", b"GET /health HTTP/1.1\r\nHost: local"),
            ("sends half a body", b"POST /api/v1/actors/vision_processing/Stats HTTP/1.1\r\nHost: localhost\r\n"
                                  b"Content-Length: 100\r\n\r\n{"),
            ("announces all that is allowed", b"POST /api/v1/actors/vision_processing/Analyze HTTP/1.1\r\n"
                                              b"Host: localhost\r\nContent-Length: 25165824\r\n\r\n{"),
        )
        before = self.node.rss_mib()
        for why, data in rows:
            with self.subTest(why):
                for _ in range(4):
                    self.connect(data, self.http_url())
                self.assert_serves(why)
        self.assert_grew_less(before, 150)

    def test_http_body_too_large(self):
        s = self.connect(b"POST /api/v1/actors/vision_processing/Analyze HTTP/1.1\r\nHost: localhost\r\n"
                         b"Content-Length: 25165825\r\n\r\n", self.http_url())
        self.assertTrue(s.recv(4096).startswith(b"HTTP/1.1 413 "))
        self.assert_serves("a body was too large")

    def test_http_endless_chunks(self):
        s = self.connect(b"POST /api/v1/actors/vision_processing/Analyze HTTP/1.1\r\nHost: localhost\r\n"
                         b"Transfer-Encoding: chunked\r\n\r\n", self.http_url())
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        before = self.node.rss_mib()
        try:
            for _ in range(200):
                s.sendall(chunk)
            self.fail("200 MiB were taken")
        except ConnectionError:
            pass
        self.assert_serves("a body had no end")
        self.assert_grew_less(before, 150)

    def test_http_not_http(self):
        for data in (HELLO, b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", b"\r\n" * 100, b"GET\r\n\r\n"):
            with self.subTest(data=data):
                self.connect(data, self.http_url())
                self.assert_serves("something else was spoken")

    def test_http_huge_header(self):
        s = self.connect(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
                         self.http_url())
        self.assertRegex(s.recv(4096), rb"^HTTP/1\.[01] 4(31|00|13|14) ")
        self.assert_serves("a header was too large")


class CrowdedHttp(unittest.TestCase):
    def test_more_connections_than_allowed(self):
        """Those above the limit are told so; when some leave there is room again."""
        with Node(sets=["network.connections_max=8"]) as node, contextlib.ExitStack() as stack:
            url = f"tcp://127.0.0.1:{node.http}"
            for _ in range(8):
                stack.enter_context(contextlib.closing(connect(url)))

            def status():
                try:
                    return node.get("/livez")[0]
                except OSError:
                    return 0
            wait_for("the ninth is turned away", lambda: status() in (0, 429, 503))
            self.assertEqual(node.health_check(), "healthy")
            self.assertEqual(node.get("/metrics", port=node.metrics)[0], 200, "its port has room of its own")
            stack.close()
            wait_for("there is room again", lambda: status() == 200)


if __name__ == "__main__":
    harness.main()

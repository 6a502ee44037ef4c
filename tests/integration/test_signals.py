"""How a node stops: drained, hurried, killed; and what systemd and the log hear of it."""
import json
import os
import signal
import socket
import threading
import unittest

import harness
from harness import Node, Req, Scratch, base64_of, png_noise, wait_for

SLOW = png_noise(1500, 1500) # a second or so for the text reader


def analyze(picture=SLOW, deadline_ms=60000):
    return json.dumps({"to": "vision_processing", "method": "Analyze", "deadline_ms": deadline_ms,
                       "args": {"image": base64_of(picture), "want": ["TEXT"]}}).encode()


def vision_stats(node):
    return {k: int(v) for k, v in node.ask("vision_processing", "Stats")["result"].items()}


def wait_busy(node):
    wait_for("a picture is at work", lambda: vision_stats(node)["open"] > 0)


def wait_taken(node, n):
    def taken():
        stats = vision_stats(node)
        return stats["open"] + stats["answered"] >= n
    wait_for(f"{n} pictures have been taken in", taken)


class Stops(unittest.TestCase):
    maxDiff = None

    def test_idle(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(number), Node() as node:
                self.assertEqual(node.stop(number), 0, node.log())
                node.wait_line(f"stopping signal={int(number)} ")
                node.wait_line("stopped exit_code=0")
                self.assertFalse(os.path.exists(os.path.join(node.data, "run/request.sock")))

    def test_what_is_in_flight_is_answered(self):
        with Node("--set", "system.drain_ms=60000") as node, Req(node.request) as req:
            number = req.send(analyze())
            on_http = []
            body = json.dumps({"image": base64_of(SLOW), "want": ["TEXT"]}).encode()
            client = threading.Thread(target=lambda: on_http.append(
                node.post("vision_processing", "Analyze", body=body, headers={"X-Deadline-Ms": "60000"})))
            client.start()
            wait_taken(node, 2)
            node.send(signal.SIGTERM)
            node.wait_line("stopping")
            self.assertTrue(json.loads(req.receive(number))["ok"])
            client.join(harness.PATIENCE)
            self.assertEqual(on_http[0][0], 200, on_http)
            self.assertEqual(node.wait(), 0, node.log())

    def test_new_requests_are_turned_away(self):
        with Node("--set", "system.drain_ms=60000") as node, Req(node.request) as req, \
                Req(node.request) as other:
            number = req.send(analyze())
            wait_busy(node)
            node.send(signal.SIGTERM)
            node.wait_line("stopping")
            self.assertTrue(other.ask(b"health_check").startswith(b"unhealthy: stopping"))
            status, _, _ = node.get("/readyz")
            self.assertEqual(status, 503)
            answer = json.loads(other.ask(b'{"to":"vision_processing","method":"Stats"}'))
            self.assertFalse(answer["ok"], answer)
            self.assertEqual(answer["error"]["code"], "UNAVAILABLE")
            self.assertTrue(json.loads(req.receive(number))["ok"])
            self.assertEqual(node.wait(), 0, node.log())

    def test_not_drained_in_time(self):
        with Node("--set", "system.drain_ms=100") as node, Req(node.request) as req:
            req.send(analyze(png_noise(3000, 3000)))
            wait_busy(node)
            node.send(signal.SIGTERM)
            self.assertEqual(node.wait(), 1, node.log())
            node.wait_line("vision_processing not_drained .*answers_owed=1")
            node.wait_line("stopped exit_code=1")

    def test_second_signal_hurries(self):
        with Node("--set", "system.drain_ms=600000") as node, Req(node.request) as req:
            req.send(analyze(png_noise(3000, 3000)))
            wait_busy(node)
            node.send(signal.SIGTERM)
            node.wait_line("stopping")
            node.send(signal.SIGINT)
            self.assertEqual(node.wait(), 1, node.log())
            node.wait_line("hurrying signal=2")
            node.wait_line("vision_processing not_drained")

    def test_silent_clients_do_not_hold_it_up(self):
        with Node() as node:
            clients = [harness.connect(url) for url in
                       (node.request, f"tcp://127.0.0.1:{node.http}", f"tcp://127.0.0.1:{node.metrics}", node.ipc)]
            clients[1].sendall(b"POST /api/v1/actors/vision_processing/Stats HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
            clients[0].sendall(b"\0SP\0\0\x30\0\0")
            self.assertEqual(node.stop(), 0, node.log())
            for client in clients:
                client.close()

    def test_killed_and_started_again(self):
        """The lock and the local socket of the dead do not matter."""
        scratch = Scratch()
        self.addCleanup(scratch.remove)
        for _ in range(3):
            with Node(data=scratch.path) as node:
                self.assertEqual(node.health_check(url=node.ipc), "healthy")
                node.kill()
        with Node(data=scratch.path) as node:
            self.assertEqual(node.health_check(url=node.ipc), "healthy")
            self.assertEqual(node.stop(), 0)

    def test_signal_while_starting(self):
        with Node(ready=False) as node:
            wait_for("the lock is there", lambda: os.path.exists(os.path.join(node.data, "run/lock")))
            node.send(signal.SIGTERM)
            self.assertIn(node.wait(), (0, -signal.SIGTERM), node.log())


class Log(unittest.TestCase):
    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.scratch.remove)
        self.path = os.path.join(self.scratch.path, "agents.log")

    def read(self, path):
        with open(path, encoding="utf-8") as f:
            return f.read()

    def test_hangup_opens_the_file_anew(self):
        with Node("--set", "logging.file=" + self.path) as node:
            wait_for("the file has it", lambda: " ready " in self.read(self.path))
            os.rename(self.path, self.path + ".1")
            node.send(signal.SIGHUP)
            node.wait_line("log_reopened")
            wait_for("the new file has it", lambda: "log_reopened" in self.read(self.path))
            self.assertNotIn("log_reopened", self.read(self.path + ".1"))
            self.assertEqual(node.health_check(), "healthy")
            self.assertEqual(node.stop(), 0)
            wait_for("the file has it", lambda: "stopped" in self.read(self.path))

    def test_hangup_without_a_place_for_the_file(self):
        """The old one goes on, and the log says why."""
        folder = os.path.join(self.scratch.path, "logs")
        os.mkdir(folder)
        path = os.path.join(folder, "agents.log")
        with Node("--set", "logging.file=" + path) as node:
            moved = os.path.join(self.scratch.path, "moved")
            os.rename(folder, moved)
            node.send(signal.SIGHUP)
            node.wait_line("log_not_reopened")
            self.assertEqual(node.stop(), 0)
            self.assertIn("stopped", self.read(os.path.join(moved, "agents.log")))

    def test_json_lines(self):
        with Node("--set", "logging.file=" + self.path, "--set", "logging.format=json", ready=False) as node:
            node.wait_line('"event":"ready"')
            self.assertEqual(node.stop(), 0)
        events = [json.loads(line)["event"] for line in self.read(self.path).splitlines()]
        self.assertEqual((events[0], events[-1]), ("ready", "stopped"))

    def test_file_that_cannot_be(self):
        got, _, err = harness.run("--role", "pc2", "--only", "vision_processing", "--set",
                                  "data.dir=" + self.scratch.path, "--set", "logging.file=/nowhere/a.log")
        self.assertEqual(got, 78, err)
        self.assertIn("/nowhere/a.log", err)


class Systemd(unittest.TestCase):
    def test_notifications(self):
        """READY when it is, WATCHDOG while it lives, STOPPING when it begins to stop."""
        scratch = Scratch()
        self.addCleanup(scratch.remove)
        path = os.path.join(scratch.path, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(path)
            manager.settimeout(harness.PATIENCE)
            with Node(env={"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "200000"}) as node:
                def hears(state):
                    wait_for(state, lambda: state in manager.recv(4096).decode().split("\n"))
                hears("READY=1")
                hears("WATCHDOG=1")
                hears("WATCHDOG=1")
                node.send(signal.SIGTERM)
                hears("STOPPING=1")
                self.assertEqual(node.wait(), 0)

    def test_manager_that_has_gone(self):
        with Node(env={"NOTIFY_SOCKET": "/nowhere/notify"}) as node:
            self.assertEqual(node.health_check(), "healthy")
            self.assertEqual(node.stop(), 0)


class Restarts(unittest.TestCase):
    def test_twenty_in_a_row_leave_nothing_behind(self):
        scratch = Scratch()
        self.addCleanup(scratch.remove)
        seen = set()
        for _ in range(20):
            with Node(data=scratch.path) as node:
                self.assertEqual(node.health_check(), "healthy")
                self.assertTrue(node.post("vision_processing", "Stats")[1])
                fds = node.fds()
                self.assertEqual(node.stop(), 0, node.log())
            files = sorted(os.path.join(root, name)[len(scratch.path):]
                           for root, _, names in os.walk(scratch.path) for name in names)
            seen.add((fds, tuple(files)))
        self.assertLessEqual(len({files for _, files in seen}), 1, "files come and stay")
        counts = [fds for fds, _ in seen]
        self.assertLessEqual(max(counts) - min(counts), 8, "descriptors at the same moment of each run")

    def test_requests_leave_nothing_behind(self):
        """Descriptors and memory do not grow with what was asked."""
        with Node() as node:
            def work():
                for _ in range(50):
                    node.health_check()
                    node.health_check(url=node.ipc)
                    node.get("/health")
                    node.get("/metrics", port=node.metrics)
                    node.post("vision_processing", "Compare", {"a_hash": "0" * 16, "b_hash": "f" * 16})
                    node.ask("vision_processing", "Analyze", {"image": "AAAA"})
            work()
            fds, rss = node.fds(), node.rss_mib()
            for _ in range(4):
                work()
            wait_for("the descriptors of closed connections have gone", lambda: node.fds() <= fds + 2)
            if not harness.SANITIZED:
                self.assertLess(node.rss_mib() - rss, 8)


if __name__ == "__main__":
    harness.main()

"""Redis: there, away at the start, killed, slow, talking nonsense; and what the actors on it say."""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import unittest

import harness
from harness import Node, Req, Scratch, wait_for

SERVER = shutil.which("redis-server")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Redis:
    """A real redis-server, which keeps its port over restarts."""

    def __init__(self, *options):
        self.scratch = Scratch()
        self.options = options
        self.process = None
        for _ in range(20): # somebody may take the port between choosing and binding
            self.port = free_port()
            try:
                self.start()
                return
            except AssertionError:
                pass
        raise AssertionError("redis-server does not start")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.kill()
        self.scratch.remove()

    def start(self):
        self.process = subprocess.Popen(
            [SERVER, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", self.scratch.path, "--save", "",
             "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no", *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def answers():
            if self.process.poll() is not None:
                return "ended"
            try:
                with socket.create_connection(("127.0.0.1", self.port), 5) as s:
                    s.sendall(b"PING\r\n")
                    answer = s.recv(100)
                    return "up" if answer.startswith((b"+PONG", b"-NOAUTH")) else ""
            except OSError:
                return ""
        if wait_for("redis-server answers", answers) != "up":
            raise AssertionError("redis-server has ended")

    def kill(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)


class Babbler:
    """Listens like a server and answers whatever it is sent with the same bytes."""

    def __init__(self, words):
        self.words = words
        self.clients = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard = 0
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            self.clients.append(client)
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        try:
            while client.recv(65536):
                self.heard += 1
                client.sendall(self.words)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.close()
        for client in self.clients:
            client.close()


class OnRedis(unittest.TestCase):
    maxDiff = None
    only = "cache_manager,vision_processing"

    def node(self, port, *args, **more):
        sets = ["redis.host=127.0.0.1", f"redis.port={port}", "redis.connect_timeout_ms=500",
                "redis.deadline_ms=500", "redis.backoff_max_ms=100", *more.pop("sets", [])]
        return Node(*args, only=more.pop("only", self.only), sets=sets, **more)

    def health(self, node):
        status, _, body = node.get("/health")
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def assert_degraded(self, node):
        """It says so, and everything that needs no Redis works."""
        wait_for("the node is degraded", lambda: self.health(node)["status"] == "degraded")
        health = self.health(node)
        self.assertIn("cache_manager", " ".join(health["why"]))
        check = next(c for c in health["checks"] if c["name"] == "Redis Connection")
        self.assertNotEqual(check["status"], "healthy", check)
        self.assertEqual(node.health_check(), "healthy")
        self.assertTrue(node.ask("vision_processing", "Stats")["ok"])
        self.assert_unavailable(node.ask("cache_manager", "Get", {"namespace": "n", "key": "k"}))
        states = {a["name"]: a["state"] for a in node.ask("orchestrator", "List")["result"]["actors"]}
        self.assertEqual(states["cache_manager"], "running")

    def assert_unavailable(self, answer):
        self.assertFalse(answer["ok"], answer)
        self.assertEqual(answer["error"]["code"], "UNAVAILABLE", answer)
        self.assertRegex(answer["error"]["message"], "edis|connection")

    def wait_healthy(self, node):
        wait_for("the node is healthy", lambda: self.health(node)["status"] == "healthy")

    @staticmethod
    def cache_set(node, key, value=b"v"):
        return node.ask("cache_manager", "Set",
                        {"namespace": "n", "key": key, "value": harness.base64_of(value)})


@unittest.skipUnless(SERVER, "redis-server is not installed")
class Cache(OnRedis):
    def test_shared_and_lasting(self):
        """What one node keeps, the next one finds."""
        with Redis() as redis:
            with self.node(redis.port) as node:
                self.wait_healthy(node)
                self.assertTrue(self.cache_set(node, "k", b"\0\1\2")["ok"])
                self.assertEqual(node.ask("cache_manager", "Stats")["result"]["backend"], "REDIS")
                self.assertEqual(node.stop(), 0)
            with self.node(redis.port) as node:
                self.wait_healthy(node)
                answer = node.ask("cache_manager", "Get", {"namespace": "n", "key": "k"})
                self.assertEqual(answer["result"]["value"], harness.base64_of(b"\0\1\2"))
                answer = node.ask("cache_manager", "Get", {"namespace": "n", "key": "other"})
                self.assertEqual(answer["error"]["code"], "NOT_FOUND")

    def test_away_at_the_start(self):
        with Redis() as redis:
            redis.kill()
            with self.node(redis.port) as node:
                self.assert_degraded(node)
                redis.start()
                self.wait_healthy(node)
                self.assertTrue(self.cache_set(node, "k")["ok"])
                self.assertEqual(node.stop(), 0)

    def test_killed_in_flight(self):
        """Every request gets an answer, soon; the actors go on, and so does Redis when it is back."""
        with Redis() as redis, self.node(redis.port) as node, Req(node.request) as req:
            self.wait_healthy(node)
            call = b'{"to":"cache_manager","method":"Set","args":{"namespace":"n","key":"k%d","value":"AAAA"}}'
            redis.pause()
            numbers = [req.send(call % n) for n in range(40)]
            redis.kill()
            for number in numbers:
                self.assert_unavailable(json.loads(req.receive(number)))
            self.assert_degraded(node)
            redis.start()
            self.wait_healthy(node)
            self.assertTrue(json.loads(req.ask(call % 1))["ok"])
            self.assertEqual(node.stop(), 0)

    def test_slow(self):
        """A server that stands still: the deadline answers, and it is found again."""
        with Redis() as redis, self.node(redis.port) as node:
            self.wait_healthy(node)
            redis.pause()
            answer = self.cache_set(node, "k")
            self.assertFalse(answer["ok"])
            self.assertIn(answer["error"]["code"], ("DEADLINE_EXCEEDED", "UNAVAILABLE"), answer)
            self.assertEqual(node.health_check(timeout=10), "healthy")
            wait_for("the node is degraded", lambda: self.health(node)["status"] == "degraded")
            redis.go_on()
            self.wait_healthy(node)
            self.assertTrue(self.cache_set(node, "k")["ok"])
            redis.pause()
            self.assertEqual(node.stop(), 0, "a server that stands still does not hold up the end")

    def test_password(self):
        with Redis("--requirepass", "sesame") as redis:
            with self.node(redis.port, env={"AI_REDIS_PASSWORD": "sesame"}) as node:
                self.wait_healthy(node)
                self.assertTrue(self.cache_set(node, "k")["ok"])
            for env in ({}, {"AI_REDIS_PASSWORD": "simsim"}):
                with self.subTest(env=env), self.node(redis.port, env=env) as node:
                    self.assert_degraded(node)
                    self.assertNotIn("simsim", node.log())

    def test_full(self):
        """Redis without memory refuses, and says so."""
        with Redis("--maxmemory", "2mb", "--maxmemory-policy", "noeviction") as redis, \
                self.node(redis.port) as node:
            self.wait_healthy(node)
            for n in range(100):
                answer = self.cache_set(node, f"k{n}", os.urandom(100000))
                if not answer["ok"]:
                    break
            self.assertFalse(answer["ok"], "100 times 100 kB fit into 2 MB")
            self.assertIn(answer["error"]["code"], ("RESOURCE_EXHAUSTED", "UNAVAILABLE"))
            self.assertIn("memory", answer["error"]["message"])
            self.assertEqual(node.health_check(), "healthy")


class Nonsense(OnRedis):
    def test_servers_that_are_none(self):
        rows = (
            ("something else", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            ("garbage", b"\xff\xfe\0\0" * 100),
            ("a length that is none", b"$-77\r\n"),
            ("a huge string", b"$999999999999\r\n" + b"x" * 1000),
            ("a huge list", b"*2147483647\r\n"),
            ("deep lists", b"*1\r\n" * 5000),
            ("an endless line", b"+" + b"y" * 200000),
            ("a wrong type", b":12345\r\n"),
            ("too many answers", b"+OK\r\n+OK\r\n+OK\r\n"),
            ("an error", b"-LOADING Redis is loading the dataset in memory\r\n"),
            ("nothing", b""),
        )
        for why, words in rows:
            with self.subTest(why), Babbler(words) as server, self.node(server.port) as node:
                wait_for("the node has asked it", lambda: server.heard > 0)
                answer = node.ask("cache_manager", "Get", {"namespace": "n", "key": "k"})
                self.assertFalse(answer["ok"], answer)
                self.assertIn(answer["error"]["code"], ("UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED"), answer)
                self.assertEqual(node.health_check(), "healthy")
                self.assertTrue(node.ask("vision_processing", "Stats")["ok"])
                self.assertLess(node.rss_mib(), 1000 if harness.SANITIZED else 100)
                self.assertEqual(node.stop(), 0, node.log())

    def test_host_that_is_none(self):
        with self.node(6379, sets=["redis.host=no-such-host.invalid"]) as node:
            self.assert_degraded(node)
            self.assertEqual(node.stop(), 0)

    def test_storage_on_redis_needs_a_host(self):
        code, _, err = harness.run("--role", "pc2", "--check-config", "--set", "storage.backend=redis")
        self.assertEqual(code, 78, err)
        self.assertIn("redis.host", err)


@unittest.skipUnless(SERVER, "redis-server is not installed")
class Memory(OnRedis):
    only = "memory_orchestrator,vision_processing"
    on_redis = ["storage.backend=redis"]

    def store(self, node, text):
        return node.ask("memory_orchestrator", "Store", {"text": text})

    def test_records_outlive_the_node_and_its_files(self):
        with Redis() as redis:
            with self.node(redis.port, sets=self.on_redis) as node:
                self.wait_healthy(node)
                i = self.store(node, "The spare key is in the blue drawer")["result"]["id"]
                node.kill()
            with self.node(redis.port, sets=self.on_redis) as node: # with a data directory of its own
                self.wait_healthy(node)
                got = node.ask("memory_orchestrator", "Get", {"id": i})
                self.assertEqual(got["result"]["memory"]["text"], "The spare key is in the blue drawer")
                hits = node.ask("memory_orchestrator", "Search", {"query": "spare key"})["result"]["hits"]
                self.assertEqual([hit["memory"]["id"] for hit in hits], [i])

    def test_away_and_back(self):
        with Redis() as redis:
            redis.kill()
            with self.node(redis.port, sets=self.on_redis) as node:
                wait_for("the node is degraded", lambda: self.health(node)["status"] == "degraded")
                self.assert_unavailable(self.store(node, "one"))
                redis.start()
                self.wait_healthy(node)
                first = self.store(node, "two")
                self.assertTrue(first["ok"], first)
                redis.kill()
                self.assert_unavailable(self.store(node, "three"))
                wait_for("the node is degraded", lambda: self.health(node)["status"] == "degraded")
                redis.start()
                self.wait_healthy(node)
                self.assertTrue(self.store(node, "four")["ok"])
                got = node.ask("memory_orchestrator", "Get", {"id": first["result"]["id"]})
                self.assertEqual(got["result"]["memory"]["text"], "two")
                self.assertEqual(node.stop(), 0)


if __name__ == "__main__":
    if not SERVER:
        print("redis-server is not installed: only what needs none is tested", file=sys.stderr)
    harness.main()

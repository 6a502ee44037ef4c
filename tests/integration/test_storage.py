"""What was stored is there: after a restart, after kill -9; and what a bad disk or database does."""
import itertools
import json
import os
import resource
import signal
import sqlite3
import threading
import unittest

import harness
from harness import Node, Req, Scratch, wait_for

ONLY = "memory_orchestrator"


def memory(node, method, args=None, **more):
    """The result of a call that must work."""
    answer = node.ask("memory_orchestrator", method, args, **more)
    if not answer["ok"]:
        raise AssertionError(f"{method} {args}: {answer}")
    return answer["result"]


def count(node):
    return int(memory(node, "Stats").get("count", 0))


def files_of(path):
    """Every file of a directory, but for those of the running node."""
    found = {}
    for name in sorted(os.listdir(path)):
        if os.path.isfile(os.path.join(path, name)):
            with open(os.path.join(path, name), "rb") as f:
                found[name] = f.read()
    return found


class Storage(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.scratch.remove)

    def node(self, *args, **more):
        return Node(*args, only=more.pop("only", ONLY), data=self.scratch.path, **more)

    # ---- What lasts

    def test_restart(self):
        with self.node() as node:
            old = memory(node, "Store", {"text": "The spare key is in the blue drawer", "kind": "KNOWLEDGE",
                                         "tags": ["home"], "session": "s1"})["id"]
            other = memory(node, "Store", {"text": "Ünïcode: 名前 🗝", "importance": 0.9})["id"]
            new = memory(node, "Supersede", {"id": old, "text": "The spare key is under the mat"})["id"]
            memory(node, "Relate", {"from": new, "to": other, "type": "near", "weight": 0.5})
            before = [memory(node, "Get", {"id": i}) for i in (old, other, new)]
            self.assertEqual(node.stop(), 0, node.log())
        self.assertEqual([n for n in os.listdir(self.scratch.path) if n.startswith("memory.db")], ["memory.db"],
                         "a clean stop leaves no log of the database behind")
        with self.node() as node:
            self.assertEqual([memory(node, "Get", {"id": i}) for i in (old, other, new)], before)
            hits = memory(node, "Search", {"query": "where is the spare key", "k": 3})["hits"]
            self.assertEqual(hits[0]["memory"]["id"], new)
            self.assertNotIn(old, [hit["memory"]["id"] for hit in hits])

    def test_killed_in_the_middle_of_a_stream(self):
        """Nothing acknowledged is lost; a retry with the same request_id applies once."""
        acknowledged = {}
        for round_ in range(3):
            with self.node() as node:
                if acknowledged:
                    self.assertGreaterEqual(count(node), len(acknowledged))
                for request, i in acknowledged.items():
                    self.assertEqual(memory(node, "Get", {"id": i})["memory"]["text"], f"what {request} said")
                self.store_until_killed(node, f"r{round_}", acknowledged)
        with self.node() as node:
            tried = {f"r{r}-{c}-{n}" for r in range(3) for c in range(4) for n in range(self.sent)}
            for request in sorted(tried):
                answer = memory(node, "Store", {"text": f"what {request} said", "request_id": request})
                if request in acknowledged:
                    self.assertEqual(answer["id"], acknowledged[request], request)
            self.assertEqual(count(node), len(tried))
            self.assertEqual(node.stop(), 0)

    sent = 60

    def store_until_killed(self, node, prefix, acknowledged):
        lock = threading.Lock()
        enough = threading.Event()

        def client(c):
            try:
                with Req(node.request) as req:
                    for n in range(self.sent):
                        request = f"{prefix}-{c}-{n}"
                        answer = json.loads(req.ask(json.dumps(
                            {"to": "memory_orchestrator", "method": "Store",
                             "args": {"text": f"what {request} said", "request_id": request}}).encode()))
                        with lock:
                            acknowledged[request] = answer["result"]["id"]
                            if len(acknowledged) % 40 == 39:
                                enough.set()
            except OSError:
                pass # killed
        clients = [threading.Thread(target=client, args=(c,)) for c in range(4)]
        for each in clients:
            each.start()
        self.assertTrue(enough.wait(harness.PATIENCE), "nothing was acknowledged: " + node.log())
        node.kill()
        for each in clients:
            each.join(harness.PATIENCE)

    def test_stopped_with_stores_in_flight(self):
        """All that was sent before the stop is answered, and there."""
        with self.node() as node, Req(node.request) as req:
            numbers = [req.send(json.dumps({"to": "memory_orchestrator", "method": "Store",
                                            "args": {"text": f"number {n}"}}).encode()) for n in range(50)]
            self.assertTrue(json.loads(req.receive(numbers[0]))["ok"])
            wait_for("all were taken in", lambda: self.offered(node) >= 50)
            node.send(signal.SIGTERM)
            answers = [json.loads(req.receive(n)) for n in numbers[1:]]
            self.assertEqual([a for a in answers if not a["ok"]], [])
            self.assertEqual(node.wait(), 0, node.log())
        with self.node() as node:
            self.assertEqual(count(node), 50)

    @staticmethod
    def offered(node):
        for line in node.get("/metrics", port=node.metrics)[2].decode().splitlines():
            if line.startswith('ai_system_actor_messages_total{actor="memory_orchestrator",outcome="offered"}'):
                return int(line.split()[-1])
        return 0

    # ---- Databases that are none

    def a_database(self):
        with self.node() as node:
            for n in range(200):
                memory(node, "Store", {"text": f"Memory number {n} of a database that will be damaged. " * 5})
            self.assertEqual(node.stop(), 0)
        return os.path.join(self.scratch.path, "memory.db")

    def assert_left_alone(self, *words):
        """The actor is down, the node degraded, and the files are as they were."""
        before = files_of(self.scratch.path)
        with self.node(only="memory_orchestrator,vision_processing") as node:
            self.assertEqual(node.health_check(), "healthy")
            status, _, body = node.get("/health")
            health = json.loads(body)
            self.assertEqual((status, health["status"]), (200, "degraded"), body)
            for word in ("memory_orchestrator", *words):
                self.assertIn(word, " ".join(health["why"]))
            self.assertIn(b"degraded", node.get("/readyz")[2])
            answer = node.ask("memory_orchestrator", "Stats")
            self.assertEqual(answer.get("error", {}).get("code"), "UNAVAILABLE", answer)
            self.assertTrue(node.ask("vision_processing", "Stats")["ok"], "others run")
            node.wait_line("memory_orchestrator .*memory.db")
            self.assertEqual(node.stop(), 0)
        after = files_of(self.scratch.path)
        # SQLite may leave an empty log beside what it would not open.
        after.pop("memory.db-shm", None)
        self.assertEqual(after.pop("memory.db-wal", b""), b"")
        self.assertEqual({name: len(data) for name, data in after.items()},
                         {name: len(data) for name, data in before.items()})
        self.assertEqual(after, before)

    def test_no_database(self):
        with open(os.path.join(self.scratch.path, "memory.db"), "wb") as f:
            f.write(b"This is a letter to my aunt.\n" * 1000)
        self.assert_left_alone("memory.db")

    def test_truncated(self):
        path = self.a_database()
        os.truncate(path, os.path.getsize(path) // 2)
        self.assert_left_alone("memory.db")

    def test_damaged_inside(self):
        path = self.a_database()
        with open(path, "r+b") as f:
            f.seek(4096)
            for _ in range(20):
                f.write(os.urandom(2048))
                f.seek(2048, os.SEEK_CUR)
        self.assert_left_alone("memory.db")

    def test_newer_version(self):
        path = self.a_database()
        database = sqlite3.connect(path)
        database.execute("PRAGMA user_version=9999")
        database.commit()
        database.close()
        self.assert_left_alone("9999")

    def test_another_programs_database(self):
        path = os.path.join(self.scratch.path, "memory.db")
        database = sqlite3.connect(path)
        database.execute("PRAGMA application_id=1234567")
        database.execute("CREATE TABLE recipes (name TEXT)")
        database.commit()
        database.close()
        self.assert_left_alone("memory.db")

    def test_a_directory_in_its_place(self):
        os.mkdir(os.path.join(self.scratch.path, "memory.db"))
        self.assert_left_alone("memory.db")

    def test_repaired_and_restarted(self):
        """With the file in order again, Restart brings the actor back; no restart of the node is needed."""
        path = self.a_database()
        with open(path, "rb") as f:
            good = f.read()
        with open(path, "wb") as f:
            f.write(b"x" * 10000)
        with self.node() as node:
            self.assertEqual(json.loads(node.get("/health")[2])["status"], "degraded")
            with open(path, "wb") as f:
                f.write(good)
            answer = node.ask("orchestrator", "Restart", {"actor": "memory_orchestrator"})
            self.assertTrue(answer["ok"], answer)
            wait_for("it runs again", lambda: json.loads(node.get("/health")[2])["status"] == "healthy")
            self.assertEqual(count(node), 200)

    # ---- A full disk

    def test_full_disk(self):
        """Store says so and what was there stays readable; nothing acknowledged is lost."""
        limit = 4 << 20
        acknowledged = []
        with self.node(limits=[(resource.RLIMIT_FSIZE, limit)]) as node:
            text = "word " * 10000
            for n in itertools.count():
                answer = node.ask("memory_orchestrator", "Store", {"text": f"{n} {text}"})
                if not answer["ok"]:
                    break
                acknowledged.append(answer["result"]["id"])
                self.assertLess(n, 1000, "the limit has no effect")
            self.assertIn(answer["error"]["code"], ("RESOURCE_EXHAUSTED", "UNAVAILABLE"), answer)
            self.assertTrue(answer["error"]["message"])
            self.assertEqual(node.health_check(), "healthy")
            self.assertTrue(memory(node, "Get", {"id": acknowledged[0]})["memory"]["text"].startswith("0 "))
            self.assertIn(node.stop(), (0, 1))
        with self.node() as node:
            for n, i in enumerate(acknowledged):
                self.assertTrue(memory(node, "Get", {"id": i})["memory"]["text"].startswith(f"{n} "))
            memory(node, "Store", {"text": "There is room again"})

    def test_unwritable_directory(self):
        if os.geteuid() == 0:
            self.skipTest("root may write everywhere")
        os.mkdir(os.path.join(self.scratch.path, "run"))
        os.chmod(self.scratch.path, 0o500)
        self.assert_left_alone("memory.db")

    # ---- A database that others lock, a disk that hangs

    def test_locked_by_another_program(self):
        with self.node() as node:
            memory(node, "Store", {"text": "before"})
            other = sqlite3.connect(os.path.join(self.scratch.path, "memory.db"), isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            answer = node.ask("memory_orchestrator", "Store", {"text": "meanwhile"})
            self.assertEqual(answer.get("error", {}).get("code"), "UNAVAILABLE", answer)
            self.assertIn("locked", answer["error"]["message"])
            self.assertEqual(node.health_check(), "healthy")
            other.execute("ROLLBACK")
            other.close()
            memory(node, "Store", {"text": "after"})
            self.assertEqual(node.stop(), 0, node.log())

    @unittest.skipIf(harness.SANITIZED, "a sanitizer wants to be loaded first")
    def test_disk_that_hangs(self):
        """Callers get their deadline, others are served, and the process ends all the same, saying why."""
        hang = os.path.join(self.scratch.path, "hang")
        with self.node("--set", "system.drain_ms=100",
                       env={"LD_PRELOAD": os.environ["AISYS_HANGING_DISK"], "AISYS_HANG": hang}) as node:
            memory(node, "Store", {"text": "before"})
            with open(hang, "w", encoding="utf-8"):
                pass
            answer = node.ask("memory_orchestrator", "Store", {"text": "meanwhile"}, deadline_ms=200)
            self.assertEqual(answer.get("error", {}).get("code"), "DEADLINE_EXCEEDED", answer)
            self.assertEqual(node.health_check(timeout=5), "healthy")
            self.assertEqual(node.get("/livez", timeout=5)[0], 200)
            self.assertEqual(node.stop(), 1, node.log())
            node.wait_line("memory_orchestrator not_drained")
            node.wait_line("pool_not_ended")
            node.wait_line("stopped exit_code=1")

    # ---- The log's disk

    def test_log_that_is_full(self):
        """A log that takes no more stops nobody."""
        path = os.path.join(self.scratch.path, "a.log")
        with self.node("--set", "logging.file=" + path, "--set", "logging.file_max_bytes=1000000000",
                       limits=[(resource.RLIMIT_FSIZE, 1 << 20)]) as node:
            with open(path, "ab") as f:
                f.truncate(1 << 20)
            node.send(signal.SIGHUP)
            node.wait_line("log_reopened")
            self.assertEqual(node.health_check(), "healthy")
            self.assertEqual(node.stop(), 0, node.log())


class Input(harness.NodeTest):
    node_args = {"only": "memory_orchestrator,cache_manager"}

    def test_memory(self):
        rows = (
            ("Store", {}, ("text",)),
            ("Store", {"text": ""}, ("text",)),
            ("Store", {"text": "x" * 65537}, ("text", "65536")),
            ("Store", {"text": "a", "kind": "RUMOUR"}, ("kind", "INTERACTION")),
            ("Store", {"text": "a", "tags": ["t"] * 2}, ("tags",)),
            ("Store", {"text": "a", "tags": [str(n) for n in range(33)]}, ("tags", "32")),
            ("Store", {"text": "a", "importance": 1.5}, ("importance",)),
            ("Store", {"text": "a", "event_time": "yesterday"}, ("event_time",)),
            ("Store", {"text": "a", "txt": "b"}, ("txt", "did you mean", "text")),
            ("Search", {"k": 0}, ("k", "1000")),
            ("Search", {"k": 1001}, ("k", "1000")),
            ("Search", {"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, ("until",)),
            ("Get", {}, ("id",)),
            ("Get", {"id": "one"}, ("id",)),
        )
        for method, args, words in rows:
            with self.subTest(method=method, args=str(args)[:60]):
                self.error(self.node.ask("memory_orchestrator", method, args), "INVALID_ARGUMENT", *words)
        self.error(self.node.ask("memory_orchestrator", "Get", {"id": "4711"}), "NOT_FOUND", "4711")

    def test_queries_that_mean_something_to_sqlite(self):
        memory(self.node, "Store", {"text": "A quoted \"word\" and a star*"})
        for query in ('"', '""', "a AND", "NEAR(a b)", "text:x", "*", "a*", "-a", "a'b", "(", "^a", "\u0007", "🗝" * 400):
            with self.subTest(query=query):
                answer = self.node.ask("memory_orchestrator", "Search", {"query": query})
                self.assertTrue(answer["ok"], answer)

    def test_supersede_twice(self):
        first = memory(self.node, "Store", {"text": "first"})["id"]
        memory(self.node, "Supersede", {"id": first, "text": "second"})
        self.error(self.node.ask("memory_orchestrator", "Supersede", {"id": first, "text": "third"}),
                   "FAILED_PRECONDITION")

    def test_cache(self):
        cache = "cache_manager"
        self.assertEqual(self.node.ask(cache, "Set", {"namespace": "n", "key": "k", "value": "AAEC"}),
                         {"ok": True, "result": {}})
        self.assertEqual(self.node.ask(cache, "Get", {"namespace": "n", "key": "k"})["result"]["value"], "AAEC")
        self.error(self.node.ask(cache, "Get", {"namespace": "n", "key": "other"}), "NOT_FOUND")
        self.error(self.node.ask(cache, "Get", {"namespace": "m", "key": "k"}), "NOT_FOUND")
        self.error(self.node.ask(cache, "Set", {"namespace": "n", "key": "", "value": ""}), "INVALID_ARGUMENT", "key")
        self.error(self.node.ask(cache, "Set", {"namespace": "n", "key": "k" * 257, "value": ""}),
                   "INVALID_ARGUMENT", "key", "256")
        self.error(self.node.ask(cache, "Set", {"namespace": "n", "key": "k",
                                                "value": harness.base64_of(bytes((1 << 20) + 1))}),
                   "RESOURCE_EXHAUSTED", "1048576")
        self.assertTrue(self.node.ask(cache, "Delete", {"namespace": "n", "key": "k"})["result"]["deleted"])
        self.node.ask(cache, "Set", {"namespace": "n", "key": "k2", "value": "AA=="})
        self.assertEqual(int(self.node.ask(cache, "Invalidate", {"namespace": "n"})["result"]["count"]), 1)

    def test_cache_expires(self):
        self.node.ask("cache_manager", "Set", {"namespace": "t", "key": "k", "value": "AA==", "ttl_ms": 50})
        wait_for("it expires", lambda: not self.node.ask("cache_manager", "Get", {"namespace": "t", "key": "k"})["ok"])


if __name__ == "__main__":
    harness.main()

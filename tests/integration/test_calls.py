"""Health, metrics and calls, on every door, well and badly formed. Argument: bus.local."""
import json
import os
import re
import shutil
import stat
import subprocess
import sys

import harness
from harness import NodeTest, Req


class Health(NodeTest):
    def test_health_check(self):
        for url in (self.node.request, self.node.ipc):
            with self.subTest(url=url):
                self.assertEqual(self.node.health_check(url=url), "healthy")
                with harness.Req(url) as req: # as echo sends it
                    self.assertEqual(req.ask(b"health_check\n"), b"healthy")

    def test_local_socket_is_the_owners_alone(self):
        mode = os.stat(os.path.join(self.node.data, "run/request.sock")).st_mode
        self.assertTrue(stat.S_ISSOCK(mode))
        self.assertEqual(stat.S_IMODE(mode), 0o600)

    def test_nngcat(self):
        nngcat = shutil.which("nngcat")
        if not nngcat:
            self.skipTest("nngcat is not installed")
        done = subprocess.run([nngcat, "--req", "--dial", self.node.request, "--ascii", "--data",
                               "health_check"], stdout=subprocess.PIPE, timeout=harness.PATIENCE)
        self.assertEqual(done.stdout.strip(), b"healthy")

    def test_health(self):
        status, headers, body = self.node.get("/health")
        health = json.loads(body)
        self.assertEqual(status, 200)
        self.assertEqual(headers["Content-Type"], "application/json")
        self.assertEqual(health["status"], "healthy")
        self.assertEqual(health["why"], [])
        self.assertEqual({a["name"]: a["status"] for a in health["actors"]},
                         {name: "healthy" for name in ("orchestrator", "health_service", "metrics",
                                                       "vision_processing")})
        checks = {c["name"]: c["status"] for c in health["checks"]}
        self.assertEqual(checks["Redis Connection"], "skipped", "Redis is not configured")
        self.assertEqual(health["role"], "pc2")

    def test_livez_and_readyz(self):
        self.assertEqual(self.node.get("/livez")[::2], (200, b"alive\n"))
        self.assertEqual(self.node.get("/readyz")[::2], (200, b"ready\n"))

    def test_no_such_page(self):
        for path in ("/", "/nothing", "/api/v1/actors/a/b/c", "/api/v1/actorsx"):
            with self.subTest(path=path):
                status, _, body = self.node.get(path)
                self.assertEqual(status, 404)
                self.assertEqual(json.loads(body)["error"]["code"], "NOT_FOUND")
        self.assertEqual(self.node.get("/health", port=self.node.metrics)[0], 404)

    def test_method_wants_post(self):
        status, _, body = self.node.get("/api/v1/actors/vision_processing/Stats")
        self.assertEqual(status, 405)
        self.assertIn("POST", json.loads(body)["error"]["message"])

    def test_foreign_host_is_refused(self):
        self.assertEqual(self.node.get("/health", headers={"Host": "evil.example"})[0], 403)
        self.assertEqual(self.node.get("/health", headers={"Origin": "http://evil.example"})[0], 403)


class Metrics(NodeTest):
    def test_metrics(self):
        status, headers, body = self.node.get("/metrics", port=self.node.metrics)
        self.assertEqual(status, 200)
        self.assertTrue(headers["Content-Type"].startswith("text/plain"), headers)
        for name in (b"system_cpu_usage_percent", b"system_memory_usage_percent",
                     b"system_disk_usage_percent", b"ai_system_door_requests_total"):
            self.assertIn(b"\n# TYPE " + name + b" ", b"\n" + body)
        self.assertIn(b'"vision_processing"', body)

    def test_openmetrics(self):
        _, headers, body = self.node.get("/metrics", port=self.node.metrics,
                                         headers={"Accept": "application/openmetrics-text"})
        self.assertTrue(headers["Content-Type"].startswith("application/openmetrics-text"), headers)
        self.assertTrue(body.endswith(b"# EOF\n"), body[-100:])

    def test_promtool(self):
        promtool = shutil.which("promtool")
        if not promtool:
            self.skipTest("promtool is not installed")
        body = self.node.get("/metrics", port=self.node.metrics)[2]
        done = subprocess.run([promtool, "check", "metrics"], input=body, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=harness.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (0, b""))

    def test_accounts_add_up(self):
        """What was offered to an actor is what became of it, whatever it was."""
        for _ in range(20):
            self.node.ask("vision_processing", "Stats")
        self.node.ask("vision_processing", "Analyze", {"image": "AAAA", "want": ["INFO"]})
        body = self.node.get("/metrics", port=self.node.metrics)[2].decode()
        actors = {}
        for family, outcome in (("messages_total", None), ("queue_size", "queued"), ("in_hand", "in hand")):
            row = re.compile(rf'^ai_system_(?:actor_)?{family}{{actor="(\w+)"(?:,outcome="(\w+)")?}} (\d+)$', re.M)
            for actor, name, value in row.findall(body):
                actors.setdefault(actor, {})[name or outcome] = int(value)
        self.assertGreaterEqual(actors["vision_processing"]["offered"], 21)
        for actor, counts in actors.items():
            with self.subTest(actor=actor, counts=counts):
                self.assertEqual(len(counts), 8)
                self.assertEqual(counts.pop("offered"), sum(counts.values()))


class Calls(NodeTest):
    def test_same_answer_everywhere(self):
        args = {"a_hash": "0123456789abcdef", "b_hash": "0123456789abcdee"}
        answers = [self.node.ask("vision_processing", "Compare", args, url=url)
                   for url in (self.node.request, self.node.ipc)]
        answers.append({"ok": True, "result": self.node.post("vision_processing", "Compare", args)[1]})
        self.assertEqual(answers, [{"ok": True, "result": {"distance": 1}}] * 3)

    def test_same_error_everywhere(self):
        args = {"a_hash": 12, "nothing": 1}
        on_tcp = self.node.ask("vision_processing", "Compare", args)
        on_ipc = self.node.ask("vision_processing", "Compare", args, url=self.node.ipc)
        status, on_http = self.node.post("vision_processing", "Compare", args)
        self.error(on_tcp, "INVALID_ARGUMENT", "a_hash", "nothing")
        self.assertEqual(on_ipc, on_tcp)
        self.assertEqual((status, on_http), (400, {"error": on_tcp["error"]}))

    def test_alias(self):
        self.assertTrue(self.node.ask("VisionProcessingAgent", "Stats")["ok"])

    def test_list_and_describe(self):
        status, _, body = self.node.get("/api/v1/actors")
        self.assertEqual(status, 200)
        self.assertIn("vision_processing", body.decode())
        self.assertEqual([actor["name"] for actor in json.loads(body)["actors"]],
                         ["orchestrator", "health_service", "metrics", "vision_processing"])
        status, _, body = self.node.get("/api/v1/actors/vision_processing")
        self.assertEqual(status, 200)
        self.assertIn("Analyze", body.decode())
        self.assertEqual(self.node.get("/api/v1/actors/vision_procesing")[0], 404)

    def test_many_on_one_connection(self):
        call = b'{"to":"vision_processing","method":"Compare","args":{"a_hash":"%016x","b_hash":"%016x"}}'
        with Req(self.node.request) as req:
            numbers = [(n, req.send(call % (0, (1 << n) - 1))) for n in range(40)]
            for n, number in reversed(numbers):
                answer = json.loads(req.receive(number))
                self.assertEqual(answer, {"ok": True, "result": {"distance": n}})

    def test_unknown_actor(self):
        self.error(self.node.ask("vision_procesing", "Analyze"), "NOT_FOUND",
                   "vision_procesing", "did you mean 'vision_processing'")
        status, answer = self.node.post("vision_procesing", "Analyze")
        self.assertEqual(status, 404)
        self.http_error(answer, "NOT_FOUND", "did you mean 'vision_processing'")
        self.error(self.node.ask("api", "Call"), "NOT_FOUND", "api")

    def test_unknown_method(self):
        self.error(self.node.ask("vision_processing", "Analyse"), "UNIMPLEMENTED",
                   "Analyse", "did you mean 'Analyze'")
        status, answer = self.node.post("vision_processing", "Analyse")
        self.assertEqual(status, 501)
        self.http_error(answer, "UNIMPLEMENTED", "did you mean 'Analyze'")

    def test_arguments(self):
        """Each fault is told with its path, all of them at once."""
        rows = (
            ({"image": 12}, ("image",)),
            ({"image": "***"}, ("image", "base64")),
            ({"image": "", "wants": ["TEXT"]}, ("wants", "want")),
            ({"image": "", "want": ["TXT"]}, ("want[0]", "TEXT")),
            ({"image": "", "want": "TEXT", "languages": [1]}, ("languages[0]",)),
            ({"image": "", "languages": ["../etc"]}, ("languages[0]",)),
            ({"image": "", "languages": ["eng", "eng"]}, ("languages",)),
            ({}, ("image", "path")),
            ({"image": "", "path": "a"}, ("image", "path")),
        )
        for args, words in rows:
            with self.subTest(args=args):
                self.error(self.node.ask("vision_processing", "Analyze", args), "INVALID_ARGUMENT", *words)
        both = self.node.ask("vision_processing", "Analyze", {"image": 1, "want": ["X"], "z": 1})
        self.assertGreaterEqual(len(both["error"]["details"]), 3, both)

    def test_envelope(self):
        rows = (
            (b"", ()),
            (b"health_chec", ()),
            (b"[]", ("is a list",)),
            (b"12", ("is an integer",)),
            (b'{"to":"vision_processing"}', ("method",)),
            (b'{"method":"Stats"}', ("to",)),
            (b'{"to":1,"method":"Stats"}', ("to",)),
            (b'{"to":"vision_processing","method":"Stats","args":[]}', ("args",)),
            (b'{"to":"vision_processing","method":"Stats","arg":{}}', ("arg", "did you mean")),
            (b'{"to":"vision_processing","method":"Stats","deadline_ms":0}', ("deadline_ms",)),
            (b'{"to":"vision_processing","method":"Stats","deadline_ms":600001}', ("deadline_ms",)),
            (b'{"to":"vision_processing","method":"Stats","deadline_ms":"soon"}', ("deadline_ms",)),
        )
        for body, words in rows:
            with self.subTest(body=body), Req(self.node.request) as req:
                self.error(json.loads(req.ask(body)), "INVALID_ARGUMENT", *words)

    def test_bad_json(self):
        call = b'{"to":"vision_processing","method":"Compare","args":%s}'
        rows = (
            (b'{"a_hash":', "broken"),
            (b'{"a_hash":"0000000000000000","b_hash":"0000000000000000"', "not closed"),
            (b'{"a_hash":"0","a_hash":"1"}', "the same key twice"),
            (b'[' * 100000 + b']' * 100000, "deep"),
            (b'{"a":' * 5000 + b'1' + b'}' * 5000, "deep maps"),
            (b'{"a_hash":"\xff\xfe"}', "not UTF-8"),
            (b'{"a_hash":"\xc0\x80"}', "overlong UTF-8"),
            (b'{"a_hash":"\xed\xa0\x80"}', "half a surrogate"),
            (b'{"a_hash":"\\ud800"}', "half an escape"),
            (b'{"a_hash":"\\u0000"}', "NUL"),
            (b'{"a_hash":1e999}', "a number too large"),
            (b'{} {}', "two documents"),
            (b"{'a':1}", "other quotes"),
        )
        for args, why in rows:
            with self.subTest(why):
                body = call % args
                with Req(self.node.request) as req:
                    self.error(json.loads(req.ask(body)), "INVALID_ARGUMENT")
                status, answer = self.node.post("vision_processing", "Compare", body=args)
                self.assertEqual(status, 400, answer)
                self.http_error(answer, "INVALID_ARGUMENT")

    def test_fault_has_its_place(self):
        status, answer = self.node.post("vision_processing", "Compare", body=b'{\n  "a_hash": 1,\n  oh\n}')
        self.assertEqual(status, 400)
        self.assertRegex(json.dumps(answer), "line 3, column [34]")

    def test_control_characters_are_escaped(self):
        """A name is quoted in the message as it came, and the answer is JSON all the same."""
        for name in ("\n\"\\\t", "a\u0001b", "ÄÖÜ 名前", "x" * 128):
            with self.subTest(name=name):
                self.error(self.node.ask(name, "Stats"), "NOT_FOUND")

    def test_http_deadline(self):
        for value in ("0", "-1", "600001", "soon", "1e3", "", "99999999999999999999"):
            with self.subTest(value=value):
                status, answer = self.node.post("vision_processing", "Stats",
                                                headers={"X-Deadline-Ms": value})
                self.assertEqual(status, 400, answer)
                self.http_error(answer, "INVALID_ARGUMENT", "X-Deadline-Ms", "600000")
        self.assertEqual(self.node.post("vision_processing", "Stats",
                                        headers={"X-Deadline-Ms": "600000"})[0], 200)

    def test_http_content_type(self):
        for value in ("text/xml", "multipart/form-data; boundary=x", "application/jsonx"):
            with self.subTest(value=value):
                status, answer = self.node.post("vision_processing", "Stats",
                                                headers={"Content-Type": value})
                self.assertEqual(status, 400, answer)
                self.http_error(answer, "INVALID_ARGUMENT", "application/json", value)
        for value in ("application/json; charset=utf-8", "application/x-www-form-urlencoded"):
            with self.subTest(value=value):
                self.assertEqual(self.node.post("vision_processing", "Stats",
                                                headers={"Content-Type": value})[0], 200)

    def test_http_empty_body(self):
        self.assertEqual(self.node.post("vision_processing", "Stats", body=b"")[0], 200)
        self.assertEqual(self.node.post("vision_processing", "Stats", body=b"[]")[0], 400)


if __name__ == "__main__":
    bus = sys.argv.pop(1) if sys.argv[1:2] in (["direct"], ["socket"]) else "direct"
    NodeTest.node_args = {"sets": ["bus.local=" + bus]}
    harness.main()

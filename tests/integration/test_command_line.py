"""The command line: what it prints, what it refuses and with which exit code."""
import json
import os
import socket
import unittest

import harness
from harness import Node, Scratch, run


class CommandLine(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        self.scratch = Scratch()
        self.addCleanup(self.scratch.remove)

    def file(self, text, name="site.yaml"):
        path = os.path.join(self.scratch.path, name)
        with open(path, "wb") as f:
            f.write(text if isinstance(text, bytes) else text.encode())
        return path

    def check(self, code, words, *args, env=None):
        """Run it: exits with @code and says each of @words on standard error."""
        got, out, err = run(*args, env=env)
        self.assertEqual(got, code, f"{args}\n{out}{err}")
        for word in words:
            self.assertIn(word, err)
        return out, err

    def check_file(self, text, *words):
        """A file with faults: each told with its place."""
        path = self.file(text)
        _, err = self.check(78, (), "--role", "pc2", "--config", path, "--check-config")
        for word in words:
            self.assertIn(word.replace("FILE", path), err)
        return err

    # ---- Usage

    def test_usage(self):
        self.check(64, ("--role", "AI_SYSTEM_MACHINE"))
        self.check(64, ("--bogus", "--help"), "--role", "pc2", "--bogus")
        self.check(64, ("--role", "--help"), "--role")
        self.check(64, ("extra",), "--role", "pc2", "extra")

    def test_help_and_version(self):
        code, out, err = run("--help", config=False)
        self.assertEqual((code, err), (0, ""))
        for option in ("--role", "--env", "--config", "--set", "--only", "--port-offset", "--check-config",
                       "--print-config", "--print-schema", "--version", "--help"):
            self.assertIn(option, out)
        code, out, err = run("--version", config=False)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"^aisys-runtime \d+\.\d+\.\d+\n$")

    def test_unknown_role(self):
        self.check(78, ("nosuch", "main_pc", "pc2"), "--role", "nosuch")
        self.check(78, ("../roles/pc2",), "--role", "../roles/pc2")

    def test_role_from_the_environment(self):
        self.check(0, (), "--check-config", env={"AI_SYSTEM_MACHINE": "main_pc"})
        out, _ = self.check(0, (), "--role", "main_pc", "--check-config", env={"AI_SYSTEM_MACHINE": "pc2"})
        self.assertIn("main_pc", out, "--role beats the variable")

    def test_unknown_environment(self):
        self.check(78, ("testing", "dev", "staging", "prod"), "--role", "pc2", "--env", "testing")

    def test_only(self):
        self.check(78, ("vision_procesing", "did you mean", "vision_processing"), "--role", "pc2", "--only",
                   "vision_procesing", "--check-config")
        with Node(only="vision_processing") as node:
            names = [a["name"] for a in node.ask("orchestrator", "List")["result"]["actors"]]
        self.assertEqual(names, ["orchestrator", "health_service", "metrics", "vision_processing"])

    # ---- Configuration

    def test_good_configuration(self):
        for role in ("pc2", "main_pc"):
            with self.subTest(role=role):
                out, _ = self.check(0, (), "--role", role, "--check-config")
                self.assertIn("no faults", out)

    def test_what_cannot_be_kept_is_refused(self):
        """Security that is asked for and not there is a fault, and no warning."""
        for key in ("security.enable_auth", "security.ssl_enabled"):
            with self.subTest(key=key):
                self.check(78, (key,), "--role", "pc2", "--check-config", "--set", key + "=true")

    def test_all_faults_at_once(self):
        self.check_file(
            "network:\n"
            "  prot: 3\n"
            "  request_port: 70000\n"
            "netwrok: {}\n"
            "logging:\n"
            "  level: loud\n"
            "agents:\n"
            "  vision_processing:\n"
            "    config:\n"
            "      roots: [relative]\n"
            "      engnes: 2\n",
            'FILE:2:3: network.prot: unknown field, did you mean "port"?',
            "FILE:3:17: network.request_port: is 70000; expected an integer from 0 to 65535",
            'FILE:4:1: netwrok: unknown field, did you mean "network"?',
            "FILE:6:10: logging.level:",
            "FILE:10:15: agents.vision_processing.config.roots[0]",
            "an absolute path",
            "FILE:11:7: agents.vision_processing.config.engnes")

    def test_yaml(self):
        rows = (
            ("network:\n\tport: 1\n", "FILE:2:1: a tab"),
            ("network:\n  port: 1\n  port: 2\n", 'FILE:3:3: the key "port" is here twice'),
            ("network: {port: 1\n", "FILE:"),
            ("network: [1, 2]\n", "FILE:1:10: network: "),
            ("- 1\n", "FILE:1:1: "),
            ("network:\n  port: eighty\n", "FILE:2:9: network.port: "),
            ("network:\n  port: -1\n", "FILE:2:9: network.port: "),
            (b"logging:\n  file: \"\xff\xfe\"\n", "FILE:"),
            (b"logging:\n  file: \"a\\0b\"\n", "FILE:2:9: "),
            ("a: *nobody\n", "FILE:1:"),
            ("agents:\n  nobody: {}\n", "agents.nobody"),
            ("agents:\n  other: {module: nosuch}\n", "nosuch"),
            ("agents:\n  other: {module: vision, class: nosuch}\n", "nosuch"),
            ("agents:\n  vision_processing: {depends: [nobody]}\n", "nobody"),
            ("[" * 10000, "FILE:1:"),
        )
        for text, words in rows:
            with self.subTest(text=text[:60]):
                self.check_file(text, words)

    def test_alias_bomb(self):
        text = "a: &a [x,x,x,x,x,x,x,x,x]\n"
        for name, before in zip("bcdefghi", "abcdefgh"):
            text += f"{name}: &{name} [{','.join(['*' + before] * 9)}]\n"
        self.check_file(text, "FILE:", "aliases")

    def test_large_file(self):
        path = self.file("#" * (70 << 20))
        self.check(78, (path,), "--role", "pc2", "--config", path, "--check-config")

    def test_missing_file(self):
        path = os.path.join(self.scratch.path, "missing.yaml")
        self.check(78, (path,), "--role", "pc2", "--config", path, "--check-config")

    def test_set(self):
        self.check(78, ("--set: network.prt", 'did you mean "port"'), "--role", "pc2", "--check-config", "--set",
                   "network.prt=1")
        for bad in ("network.port", "port=1", "=1", "", "network.port=x", "a.b.c.d=1"):
            with self.subTest(bad=bad):
                self.check(78, (), "--role", "pc2", "--check-config", "--set", bad)

    def test_print_config_shows_origins(self):
        out, _ = self.check(0, (), "--role", "pc2", "--print-config", env={"AI_NETWORK_PORT": "8090"})
        line = [x for x in out.splitlines() if x.strip().startswith("port: 8090")]
        self.assertEqual(len(line), 1, out)
        self.assertIn("AI_NETWORK_PORT", line[0])
        line = [x for x in out.splitlines() if x.strip().startswith("request_port: 5555")]
        self.assertIn("defaults/base.yaml:", line[0])

    def test_print_config_masks_secrets(self):
        out, err = self.check(0, (), "--role", "pc2", "--print-config", env={"AI_REDIS_PASSWORD": "hunter2-secret"})
        self.assertNotIn("hunter2", out + err)

    def test_print_config_with_a_fault(self):
        self.check(78, ("network.port",), "--role", "pc2", "--print-config", "--set", "network.port=x")

    def test_variable_that_matches_nothing(self):
        self.check(0, ("AI_REDIS_HSOT", "did you mean AI_REDIS_HOST"), "--role", "pc2", "--check-config",
                   env={"AI_REDIS_HSOT": "x"})
        self.check(78, ("AI_NETWORK_PORT", "eighty"), "--role", "pc2", "--check-config",
                   env={"AI_NETWORK_PORT": "eighty"})

    def test_print_schema(self):
        out, err = self.check(0, (), "--role", "pc2", "--print-schema")
        schema = json.loads(out)
        self.assertEqual((err, schema["type"]), ("", "object"))
        self.assertIn("network", schema["properties"])

    # ---- What others have already

    def test_data_dir_in_use(self):
        with Node() as node:
            self.check(69, ("data.dir", node.data, f"process {node.pid}"), "--role", "pc2", "--only",
                       "vision_processing", "--set", "data.dir=" + node.data, "--set", "network.request_port=0",
                       "--set", "network.port=0", "--set", "network.events_port=0", "--set", "monitoring.port=0")
            self.assertEqual(node.health_check(), "healthy")
            self.assertEqual(node.health_check(url=node.ipc), "healthy", "its local socket is still there")

    def test_data_dir_that_cannot_be(self):
        self.file("", "plain")
        path = os.path.join(self.scratch.path, "plain", "data")
        got, _, err = run("--role", "pc2", "--only", "vision_processing", "--set", "data.dir=" + path)
        self.assertEqual(got, 78, err)
        self.assertIn(path, err)

    def test_ports_in_use(self):
        """Each is told by its key or address, and nothing is left running."""
        for key in ("network.request_port", "network.port", "network.events_port", "monitoring.port"):
            with self.subTest(key), socket.socket() as taken:
                taken.bind(("127.0.0.1", 0))
                taken.listen()
                port = taken.getsockname()[1]
                args = ["--role", "pc2", "--only", "vision_processing", "--set",
                        "data.dir=" + os.path.join(self.scratch.path, key)]
                for each in ("network.request_port", "network.port", "network.events_port", "monitoring.port"):
                    args += ["--set", f"{each}={port if each == key else 0}"]
                self.check(69, (f":{port}", "somebody listens there"), *args)

    def test_port_offset(self):
        """Every port moves; two nodes with the same configuration run side by side."""
        with socket.socket() as a, socket.socket() as b, socket.socket() as c, socket.socket() as d:
            ports = []
            for s in (a, b, c, d):
                s.bind(("127.0.0.1", 0))
                ports.append(s.getsockname()[1])
        sets = [f"{key}={port - 1000}" for key, port in zip(
            ("network.request_port", "network.port", "network.events_port", "monitoring.port"), ports)]
        with Node("--port-offset", "1000", sets=sets) as node:
            self.assertEqual(node.request, f"tcp://127.0.0.1:{ports[0]}")
            self.assertEqual((node.http, node.metrics), (ports[1], ports[3]))
            self.assertEqual(node.health_check(), "healthy")
        self.check(78, ("port_offset",), "--role", "pc2", "--check-config", "--port-offset", "70000")
        self.check(78, (), "--role", "pc2", "--check-config", "--port-offset", "many")

    def test_address_of_another_machine(self):
        self.check(78, ("192.0.2.1", "network.port"), "--role", "pc2", "--only", "vision_processing", "--set",
                   "network.bind_address=192.0.2.1", "--set", "security.allow_insecure=true", "--set",
                   "data.dir=" + self.scratch.path)

    def test_wider_than_this_machine_needs_security(self):
        self.check(78, ("network.bind_address",), "--role", "pc2", "--check-config", "--set",
                   "network.bind_address=0.0.0.0")


if __name__ == "__main__":
    harness.main()

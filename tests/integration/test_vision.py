"""vision_processing on the real node: pictures that are none, too large, elsewhere or late."""
import json
import os
import time

import harness
from harness import NodeTest, Node, Scratch, base64_of, data_file, png_noise, wait_for

PIXELS_MAX = 50_000_000


class Vision(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.files = Scratch()
        cls.root = os.path.join(cls.files.path, "root")
        os.mkdir(cls.root)
        for name in ("receipt.png", "bomb.png"):
            with open(os.path.join(cls.root, name), "wb") as f:
                f.write(data_file(name))
        with open(os.path.join(cls.files.path, "secret.png"), "wb") as f:
            f.write(data_file("receipt.png"))
        os.symlink("../secret.png", os.path.join(cls.root, "link.png"))
        os.symlink(cls.files.path, os.path.join(cls.root, "up"))
        os.mkfifo(os.path.join(cls.root, "fifo.png"))
        os.mkdir(os.path.join(cls.root, "folder.png"))
        with open(os.path.join(cls.root, "large.png"), "wb") as f:
            f.truncate(17 << 20)
        config = os.path.join(cls.files.path, "roots.yaml")
        with open(config, "w", encoding="utf-8") as f:
            json.dump({"agents": {"vision_processing": {"config": {"roots": [cls.root]}}}}, f)
        cls.node = Node("--config", config)

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            cls.files.remove()

    def analyze(self, args, code=None, *words, **more):
        """The same on both doors: the result, or the error that must come."""
        answer = self.node.ask("vision_processing", "Analyze", args, **more)
        headers = {"X-Deadline-Ms": str(more["deadline_ms"])} if "deadline_ms" in more else None
        status, on_http = self.node.post("vision_processing", "Analyze", args, headers=headers)
        if code is None:
            self.assertTrue(answer["ok"], answer)
            self.assertEqual((status, on_http), (200, answer["result"]))
            return answer["result"]
        self.error(answer, code, *words)
        self.http_error(on_http, code, *words)
        self.assertEqual(status, {"INVALID_ARGUMENT": 400, "PERMISSION_DENIED": 403, "NOT_FOUND": 404,
                                  "DEADLINE_EXCEEDED": 504, "RESOURCE_EXHAUSTED": 429}[code])
        return answer["error"]

    def test_a_real_picture(self):
        result = self.analyze({"image": base64_of(data_file("receipt.png")), "want": ["INFO", "TEXT", "HASH"]},
                              deadline_ms=60000)
        self.assertEqual(result["info"]["format"], "PNG")
        self.assertIn("TOTAL", result["text"]["full"].upper())
        self.assertRegex(result["hash"], "^[0-9a-f]{16}$")
        self.assertTrue(all(0 <= word["confidence"] <= 1 for word in result["text"]["words"]))

    def test_codes(self):
        result = self.analyze({"image": base64_of(data_file("ean13.png")), "want": ["CODES"]}, deadline_ms=60000)
        self.assertEqual([code["type"] for code in result["codes"]], ["EAN13"])

    def test_by_path(self):
        for path in ("receipt.png", os.path.join(self.root, "receipt.png")):
            with self.subTest(path=path):
                self.assertEqual(self.analyze({"path": path})["info"]["format"], "PNG")

    def test_no_picture(self):
        rows = (
            (b"", "nothing"),
            (data_file("not_an_image.gif"), "another format"),
            (b"\x89PNG\r\n\x1a\n", "a signature alone"),
            (b"\xff\xd8\xff\xe0", "the beginning of a JPEG"),
            (os.urandom(4096), "noise"),
            (b"<svg/>", "text"),
        )
        for data, why in rows:
            with self.subTest(why):
                self.analyze({"image": base64_of(data), "want": ["INFO", "TEXT"]}, "INVALID_ARGUMENT")

    def test_truncated(self):
        for name in ("receipt_truncated.png", "receipt_truncated.jpg"):
            with self.subTest(name):
                self.analyze({"image": base64_of(data_file(name)), "want": ["TEXT"]}, "INVALID_ARGUMENT",
                             deadline_ms=60000)

    def test_every_beginning(self):
        """Wherever a file is cut off, the answer is an error or a picture, never more."""
        for name in ("qr_binary.png", "cmyk.jpg"):
            whole = data_file(name)
            with harness.Req(self.node.request) as req:
                for n in range(0, len(whole), 7):
                    call = {"to": "vision_processing", "method": "Analyze",
                            "args": {"image": base64_of(whole[:n]), "want": ["HASH"]}}
                    answer = json.loads(req.ask(json.dumps(call).encode()))
                    if not answer["ok"]:
                        self.error(answer, "INVALID_ARGUMENT")

    def test_bomb(self):
        before = self.node.rss_mib()
        for want in ("INFO", "TEXT", "HASH", "CODES"):
            with self.subTest(want):
                self.analyze({"image": base64_of(data_file("bomb.png")), "want": [want]}, "INVALID_ARGUMENT",
                             str(PIXELS_MAX))
        self.analyze({"path": "bomb.png", "want": ["TEXT"]}, "INVALID_ARGUMENT", str(PIXELS_MAX))
        if not harness.SANITIZED:
            self.assertLess(self.node.rss_mib() - before, 50)

    def test_oversized(self):
        self.analyze({"image": base64_of(bytes((16 << 20) + 1))}, "INVALID_ARGUMENT", "image", "16777216")
        self.analyze({"path": "large.png"}, "INVALID_ARGUMENT", "16777216")

    def test_outside_the_roots(self):
        for path in ("../secret.png", "folder.png/../../secret.png", "link.png", "up/secret.png", "/etc/passwd",
                     os.path.join(self.root, "../secret.png"), os.path.join(self.files.path, "secret.png"),
                     "/proc/self/root" + self.files.path + "/secret.png"):
            with self.subTest(path=path):
                self.analyze({"path": path}, "PERMISSION_DENIED")

    def test_no_regular_file(self):
        self.analyze({"path": "missing.png"}, "NOT_FOUND", "missing.png")
        for path in ("fifo.png", "folder.png", ".", "receipt.png/"):
            with self.subTest(path=path):
                answer = self.node.ask("vision_processing", "Analyze", {"path": path})
                self.assertFalse(answer["ok"], answer)
                self.assertIn(answer["error"]["code"], ("INVALID_ARGUMENT", "NOT_FOUND", "PERMISSION_DENIED"))

    def test_language_that_is_not_installed(self):
        self.analyze({"image": base64_of(data_file("receipt.png")), "want": ["TEXT"], "languages": ["tlh"]},
                     "INVALID_ARGUMENT", "tlh", "eng", deadline_ms=60000)

    def test_over_its_deadline(self):
        picture = base64_of(png_noise(1500, 1500))
        from_s = time.monotonic()
        self.analyze({"image": picture, "want": ["TEXT"]}, "DEADLINE_EXCEEDED", deadline_ms=1)
        self.assertLess(time.monotonic() - from_s, 30)
        # The engine has stopped: nothing is at work soon after, and the next picture is read.
        wait_for("the engine has stopped", lambda: self.stats()["open"] == 0 and self.stats()["readers_busy"] == 0)
        self.test_a_real_picture()

    def stats(self):
        return self.node.ask("vision_processing", "Stats")["result"]

    def test_compare(self):
        args = {"a_image": base64_of(data_file("receipt.png")), "b_image": base64_of(data_file("receipt.jpg"))}
        answer = self.node.ask("vision_processing", "Compare", args, deadline_ms=60000)
        self.assertLessEqual(answer["result"]["distance"], 8, answer)
        args["b_image"] = base64_of(data_file("landscape.jpg"))
        answer = self.node.ask("vision_processing", "Compare", args, deadline_ms=60000)
        self.assertGreater(answer["result"]["distance"], 8, answer)


if __name__ == "__main__":
    harness.main()

"""The stand-ins for requests, httpx, aiohttp and urlopen, and what the sandbox's file functions do."""

import asyncio
import os
import sys
import unittest
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from resoftai import _host, _sandbox
from resoftai.testing import FakeHttp, LocalHost

import aiohttp
import httpx
import requests

URL = "https://api.example.org/items"


class Net(unittest.TestCase):
    def answer(self, replies):
        self.web = FakeHttp(replies)
        before = _host.install(LocalHost(http=self.web))
        self.addCleanup(_host.install, before)


class Requests(Net):
    def test_json_forms_parameters_and_authentication(self):
        self.answer({f"POST {URL}": {"id": 1}, f"GET {URL}?q=a+b": [1, 2]})
        self.assertEqual(requests.post(URL, json={"a": 1}).json(), {"id": 1})
        requests.post(URL, data={"a": "ä"}, auth=("u", "p"))
        self.assertEqual(requests.get(URL, params={"q": "a b"}).json(), [1, 2])
        first, second, _ = self.web.requests
        self.assertEqual((first.json(), first.headers["content-type"]), ({"a": 1}, "application/json"))
        self.assertEqual((second.body, second.headers["authorization"]), (b"a=%C3%A4", "Basic dTpw"))

    def test_errors_are_the_librarys(self):
        self.answer({f"GET {URL}": (404, "no")})
        with self.assertRaises(requests.HTTPError) as raised:
            requests.get(URL).raise_for_status()
        self.assertEqual(raised.exception.response.status_code, 404)
        with self.assertRaises(requests.exceptions.ConnectionError):
            requests.get("https://elsewhere.example.org/")
        with self.assertRaises(requests.exceptions.JSONDecodeError):
            requests.get(URL).json()
        with self.assertRaisesRegex(NotImplementedError, "no option files"):
            requests.post(URL, files={"a": b""})


class Httpx(Net):
    def test_sync_and_async(self):
        self.answer({f"GET {URL}": {"ok": True}, f"POST {URL}": (500, "")})
        self.assertTrue(httpx.get(URL).json()["ok"])

        async def post():
            async with httpx.AsyncClient(base_url="https://api.example.org", headers={"X-A": "b"}) as client:
                return await client.post("/items", content=b"raw")

        reply = asyncio.run(post())
        self.assertEqual((self.web.requests[1].headers["x-a"], self.web.requests[1].body), ("b", b"raw"))
        with self.assertRaises(httpx.HTTPStatusError):
            reply.raise_for_status()
        with self.assertRaises(httpx.RequestError):
            httpx.get("https://elsewhere.example.org/")


class Aiohttp(Net):
    def test_both_ways_to_ask(self):
        self.answer({f"GET {URL}": "text", f"POST {URL}": (403, "no")})

        async def both():
            async with aiohttp.ClientSession(headers={"X-A": "b"}) as session:
                response = await session.get(URL)
                async with session.post(URL, data={"a": 1}) as second:
                    return await response.text(), second

        text, second = asyncio.run(both())
        self.assertEqual((text, second.status, second.ok), ("text", 403, False))
        with self.assertRaises(aiohttp.ClientResponseError):
            second.raise_for_status()


class Urlopen(Net):
    def test_it_reads_like_a_file(self):
        self.answer({f"POST {URL}": {"a": 1}, f"GET {URL}": (404, "no")})
        with _sandbox.urlopen(urllib.request.Request(URL, data=b"x=1"), timeout=3) as reply:
            self.assertEqual((reply.status, reply.read()), (200, b'{"a": 1}'))
        with self.assertRaises(urllib.error.HTTPError):
            _sandbox.urlopen(URL)
        with self.assertRaises(urllib.error.URLError):
            _sandbox.urlopen("https://elsewhere.example.org/")


class Files(unittest.TestCase):
    def setUp(self):
        content = {"main.py": b"x", "data/words.txt": "größe\n".encode(), "data/deep/a.bin": b"\0"}
        _sandbox.open_package(sorted(content), content.__getitem__, "my-plugin")
        self.addCleanup(_sandbox.open_package, [], lambda path: b"", "")

    def test_the_package_is_read(self):
        self.assertEqual(_sandbox.open_file("my-plugin/data/words.txt").read(), "größe\n")
        self.assertEqual(_sandbox.open_file(Path("/my-plugin/data/../main.py"), "rb").read(), b"x")
        self.assertEqual(_sandbox.list_folder("my-plugin/data"), ["deep", "words.txt"])
        with _sandbox.scan_folder("my-plugin") as entries:
            self.assertEqual([(e.path, e.is_dir()) for e in entries], [("my-plugin/data", True), ("my-plugin/main.py", False)])
        self.assertEqual(_sandbox.stat_file("my-plugin/data/words.txt").st_size, 8)

    def test_everything_else_is_refused_in_words(self):
        for path in ["/etc/passwd", "my-plugin/../etc/passwd", "my-plugin/none", "main.py"]:
            with self.subTest(path), self.assertRaisesRegex(FileNotFoundError, "resoftai.files"):
                _sandbox.open_file(path)
        with self.assertRaisesRegex(PermissionError, "no host files"):
            _sandbox.open_file("my-plugin/main.py", "w")
        with self.assertRaises(IsADirectoryError):
            _sandbox.open_file("my-plugin/data")
        read, write = os.pipe()
        os.write(write, b"p")
        os.close(write)
        with _sandbox.open_file(read, "rb") as opened:
            self.assertEqual(opened.read(), b"p")

    def test_a_missing_module_is_explained(self):
        self.assertIn("platform", _sandbox.explain(ModuleNotFoundError("x", name="_ssl")))
        self.assertIn("wheels folder", _sandbox.explain(ModuleNotFoundError("x", name="jinja2.nodes")))
        self.assertEqual(_sandbox.explain(ValueError("x")), "")


if __name__ == "__main__":
    unittest.main()

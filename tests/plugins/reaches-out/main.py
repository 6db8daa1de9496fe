"""Tries what a sandbox must refuse; the payload names the attempt."""

import os
import socket
import time

from resoftai.plugins.base import CodeQualityPlugin


class ReachesOut(CodeQualityPlugin):
    def load(self, context):
        self.context = context
        return True

    def activate(self):
        self.context.hooks.register_filter("code.analyze", self.run)
        return True

    def deactivate(self):
        return True

    def unload(self):
        return True

    def get_tool_name(self):
        return "reaches-out"

    def analyze_code(self, code, language):
        return {"issues": []}

    def run(self, value):
        attempt = getattr(self, "try_" + value["attempt"])
        try:
            value["got"] = repr(attempt())
        except (Exception, SystemExit) as error:
            value["refused"] = type(error).__name__
        return value

    def try_read(self):
        return open("/etc/passwd").read()

    def try_list(self):
        return os.listdir("/")

    def try_environment(self):
        return dict(os.environ)

    def try_write(self):
        return open("/tmp/plugin-was-here", "w").write("x")

    def try_socket(self):
        return socket.create_connection(("127.0.0.1", 80), timeout=1)

    def try_udp(self):
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 53))

    def try_process(self):
        import subprocess

        return subprocess.run(["true"])

    def try_sleep(self):
        return time.sleep(3600)

    def try_exit(self):
        os._exit(3)

    def try_huge_answer(self):
        return "x" * 40_000_000

"""Everything a plugin prints or logs goes to its log on the platform; there is no console in the sandbox."""

import io
import logging

from resoftai import _host


class LogWriter(io.TextIOBase):
    """Collects text and passes it on line by line."""

    _LIMIT = 16 * 1024

    def __init__(self, level):
        self._level = level
        self._rest = ""

    def writable(self):
        return True

    def write(self, text):
        self._rest += text
        *lines, self._rest = self._rest.split("\n")
        for line in lines:
            _host.current().log(self._level, line)
        if len(self._rest) > self._LIMIT:
            self.flush()
        return len(text)

    def flush(self):
        rest, self._rest = self._rest, ""
        if rest:
            _host.current().log(self._level, rest)


class LogHandler(logging.Handler):
    """Passes records of `logging` on."""

    def emit(self, record):
        level = "error" if record.levelno >= logging.ERROR else record.levelname.lower()
        _host.current().log(level if level in ("debug", "info", "warning") else "error", self.format(record))

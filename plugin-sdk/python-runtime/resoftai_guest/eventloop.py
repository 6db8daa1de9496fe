"""An asyncio event loop for a place without sockets: it can wait for time and for nothing else.

Host calls block the guest, so gathered requests run one after the other.
"""

import asyncio
import time
from asyncio import base_events, events


class _Sleeper:
    """Takes the place of a selector: no file descriptor is ever ready."""

    def select(self, timeout=None):
        if timeout is None:
            raise RuntimeError("The plugin waits for something that can never happen: nothing outside can wake it.")
        if timeout > 0:
            time.sleep(timeout)
        return []


class GuestLoop(base_events.BaseEventLoop):
    """Timers, tasks and queues; executors run in line."""

    def __init__(self):
        super().__init__()
        self._selector = _Sleeper()

    def _process_events(self, event_list):
        pass

    def _write_to_self(self):
        pass

    def run_in_executor(self, executor, func, *args):
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    async def shutdown_default_executor(self, timeout=None):
        pass

    async def getaddrinfo(self, *args, **kwargs):
        raise PermissionError("There is no network in the sandbox: use resoftai.http with a granted host.")


def install():
    """Makes `asyncio.run`, `asyncio.Runner` and `asyncio.new_event_loop` use `GuestLoop`."""
    asyncio.new_event_loop = events.new_event_loop = GuestLoop
    asyncio.runners.events.new_event_loop = GuestLoop

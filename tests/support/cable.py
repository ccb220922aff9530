"""The cable between a node and its database server, which can be cut."""

import asyncio
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

CHUNK = 2**16


class Cable:
    """Forwards a port at 127.0.0.1 to a server's socket."""

    def __init__(self, far: Path) -> None:
        self.port = 0
        self._far = far
        self._whole = asyncio.Event()
        self._whole.set()
        self._cut = False
        self._links: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._listener is not None
        self._listener.close()
        self.cut()
        self._whole.set()
        await asyncio.gather(*self._tasks)

    def stall(self) -> None:
        """Let nothing through, and tell nobody: whoever asks waits."""
        self._whole.clear()

    def cut(self) -> None:
        """End all connections, and refuse new ones."""
        self._cut = True
        self._drop()

    def mend(self, *, lost: bool = False) -> None:
        """Let everything through again: what was on its way arrives now, unless it was lost."""
        if lost:
            self._drop()
        self._cut = False
        self._whole.set()

    def _drop(self) -> None:
        for writer in self._links:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._links.add(writer)
        try:
            await self._whole.wait()
            if not self._cut:
                await self._join(reader, writer)
        finally:
            writer.close()
            self._links.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            far_reader, far_writer = await asyncio.open_unix_connection(str(self._far))
            self._links.add(far_writer)
            try:
                pumps = [asyncio.create_task(self._pump(*way)) for way in ((reader, far_writer), (far_reader, writer))]
                await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
                for pump in pumps:
                    pump.cancel()
                await asyncio.gather(*pumps, return_exceptions=True)
            finally:
                far_writer.close()
                self._links.discard(far_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            await self._whole.wait()
            writer.write(data)
            await writer.drain()

"""A client of the server that reads many streams at once: ``python stream_client.py PORT BODIES``.

Prints the seconds from the first request to the last byte, and the number of tokens that the server counted. It imports
little, as its work takes a part of the machine that it measures.
"""

import asyncio
import json
import sys
import time
from typing import Any


async def read_all(port: int, bodies: list[dict[str, Any]]) -> list[int]:
    """Read a stream for each body, side by side. Returns their numbers of tokens."""
    return await asyncio.gather(*(_read(port, json.dumps(body).encode()) for body in bodies))


async def _read(port: int, body: bytes) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    last = b""
    while part := await reader.read(1 << 16):
        last = (last + part)[-2000:]
    writer.close()
    (event,) = (line for line in last.decode().splitlines() if '"completion_tokens"' in line)
    return int(json.loads(event.removeprefix("data: "))["usage"]["completion_tokens"])


if __name__ == "__main__":
    given = json.loads(sys.argv[2])
    began = time.perf_counter()
    tokens = sum(asyncio.run(read_all(int(sys.argv[1]), given)))
    print(json.dumps({"seconds": time.perf_counter() - began, "tokens": tokens}))

"""The yardstick: a FastAPI endpoint that returns a constant, served as our server is."""

from __future__ import annotations

import socket
import sys

import uvicorn
import uvloop
from fastapi import FastAPI

app = FastAPI(docs_url=None, redoc_url=None)


@app.get("/balance")
async def balance() -> dict[str, float | str]:
    """What every caller gets."""
    return {"free": 339.3375, "reserved": 12.5125, "total": 351.85, "currency": "EUR"}


def main() -> None:
    """Serve on a free port, and say which."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    sys.stderr.write(f"port {listener.getsockname()[1]}\n")
    sys.stderr.flush()
    config = uvicorn.Config(app, access_log=False, log_config=None, server_header=False, ws="none")
    uvloop.run(uvicorn.Server(config).serve(sockets=[listener]))


if __name__ == "__main__":
    main()

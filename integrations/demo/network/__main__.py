"""Run Plaza: `python -m integrations.demo.network --port 8002 --state DIR --groupbook URL …`."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from integrations.demo.network.app import Settings, build


def main() -> None:
    parser = argparse.ArgumentParser(prog="plaza", description="The demo social network.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--public-url", default="", help="how browsers reach it; http://127.0.0.1:PORT if not given")
    parser.add_argument("--state", type=Path, required=True, help="folder for its one file and its signing key")
    parser.add_argument("--groupbook", required=True, help="where browsers reach groupbook")
    parser.add_argument("--client-id", default="groupbook")
    parser.add_argument("--client-secret", required=True)
    parser.add_argument("--launch-secret", required=True)
    parser.add_argument("--bot-token", required=True)
    parser.add_argument("--merchant-slug", default="kestrel")
    parser.add_argument("--merchant-name", default="Kestrel Rail")
    given = parser.parse_args()
    settings = Settings(
        public_url=(given.public_url or f"http://127.0.0.1:{given.port}").rstrip("/"),
        folder=given.state,
        groupbook_url=given.groupbook.rstrip("/"),
        client_id=given.client_id,
        client_secret=given.client_secret,
        launch_secret=given.launch_secret,
        bot_token=given.bot_token,
        merchant_slug=given.merchant_slug,
        merchant_name=given.merchant_name,
    )
    uvicorn.run(build(settings), host=given.host, port=given.port, log_level="warning")


if __name__ == "__main__":
    main()

"""`python -m integrations.demo.rail --port 8001 --state DIR --groupbook URL --token T --merchant-slug kestrel`"""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from integrations.demo.rail.api import Settings
from integrations.demo.rail.app import build


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m integrations.demo.rail", description="Kestrel Rail, a demo merchant"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--state", type=Path, required=True, help="folder of the books (rail.sqlite3)")
    parser.add_argument("--groupbook", default="http://localhost:8000", help="where groupbook's widget comes from")
    parser.add_argument("--public-url", default="", help="the shop's own address in links (default: host and port)")
    parser.add_argument("--token", required=True, help="bearer token that groupbook presents")
    parser.add_argument("--merchant-slug", default="kestrel")
    parser.add_argument("--hold-seconds-max", type=int, default=86_400, help="longest time places are kept")
    parser.add_argument("--lost-answer-seconds", type=float, default=30.0, help="silence of a provoked lost answer")
    parser.add_argument("--late-effect-seconds", type=float, default=5.0, help="delay of a provoked late effect")
    given = parser.parse_args()
    settings = Settings(
        token=given.token,
        public_url=(given.public_url or f"http://{given.host}:{given.port}").rstrip("/"),
        groupbook_url=given.groupbook.rstrip("/"),
        merchant_slug=given.merchant_slug,
        hold_seconds_max=given.hold_seconds_max,
        lost_answer_seconds=given.lost_answer_seconds,
        late_effect_seconds=given.late_effect_seconds,
    )
    app = build(given.state, settings)
    print(f"Kestrel Rail: {settings.public_url}", flush=True)
    uvicorn.run(app, host=given.host, port=given.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()

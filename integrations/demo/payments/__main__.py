"""`python -m integrations.demo.payments`: the sandbox as a process of its own."""

from __future__ import annotations

import argparse
from pathlib import Path

import uvicorn

from integrations.demo.payments.app import Configuration, Sandbox
from integrations.demo.payments.limits import Limits


def main() -> None:
    parser = argparse.ArgumentParser(prog="integrations.demo.payments", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8003)
    parser.add_argument("--state", type=Path, required=True, help="the folder of the SQLite file")
    parser.add_argument("--public-url", help="how browsers reach it (default http://HOST:PORT)")
    parser.add_argument("--webhook-url", help="where signed events go")
    parser.add_argument("--webhook-secret", help="whsec_…")
    parser.add_argument("--connect-webhook-url", help="where signed events of connected accounts go")
    parser.add_argument("--connect-webhook-secret", help="whsec_…")
    parser.add_argument("--client-id", default="ca_sandbox", help="the platform's, ca_…")
    parser.add_argument("--redirect-uri", action="append", default=[], help="where connected people may be sent back")
    parser.add_argument("--api-key", required=True, help="sk_test_…")
    parser.add_argument("--capture-window-seconds", type=int, default=7 * 86_400)
    parser.add_argument("--refund-delay-seconds", type=float, default=2.0)
    parser.add_argument("--rate", type=float, help="requests a second for the account (Stripe's sandbox: 25)")
    parser.add_argument("--endpoint-rate", type=float, help="requests a second for each endpoint (Stripe: 25)")
    parser.add_argument("--concurrency", type=int, help="requests at the same time")
    given = parser.parse_args()
    sandbox = Sandbox(
        Configuration(
            state=given.state,
            api_key=given.api_key,
            public_url=given.public_url or f"http://{given.host}:{given.port}",
            webhook_url=given.webhook_url,
            webhook_secret=given.webhook_secret,
            connect_webhook_url=given.connect_webhook_url,
            connect_webhook_secret=given.connect_webhook_secret,
            client_id=given.client_id,
            redirect_uris=tuple(given.redirect_uri),
            capture_window_seconds=given.capture_window_seconds,
            refund_delay_seconds=given.refund_delay_seconds,
            limits=Limits(given.rate, given.endpoint_rate, given.concurrency),
        )
    )
    print(f"payment sandbox on http://{given.host}:{given.port} (faults: /_faults)", flush=True)
    uvicorn.run(sandbox.app, host=given.host, port=given.port, log_level="warning", server_header=False)


if __name__ == "__main__":
    main()

"""The payment sandbox: a small real server that speaks the part of Stripe's wire format groupbook needs.

It has a hosted payment page with test cards and a bank's confirmation step, keeps its state in SQLite (a killed server
comes back where it was), signs its webhooks, honors idempotency keys, refuses parameters Stripe does not know, and can
be told to misbehave (`POST /_faults`). No money moves, and no card number is ever stored.

    python -m integrations.demo.payments --port 8003 --state DIR --webhook-url URL --webhook-secret S --api-key K

Where it differs from Stripe's documentation it is wrong; the page is cited at each behavior.
"""

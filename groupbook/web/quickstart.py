"""The first commands of a merchant: the dashboard shows them, the README prints them, a test runs these very lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Command:
    """`id` says what it does; `text` can be pasted into a shell. Later commands use what earlier ones remembered."""

    id: str
    text: str


def widget(public_url: str, slug: str) -> str:
    """What a merchant pastes into a page of theirs; `docs/widget.md` explains it."""
    return f"""\
<script async src="{public_url}/v1.js" data-merchant="{slug}"></script>
<button type="button" data-groupbook="modal">Plan with friends</button>"""


def commands(public_url: str, key: str, *, currency: str = "EUR") -> list[Command]:
    """Create an offer, start a trip from it, list bookings and events, and be told."""
    return [
        Command(
            "keep",
            f"""\
GROUPBOOK={public_url}
KEY={key}""",
        ),
        Command(
            "offer",
            f"""\
OFFER=$(curl -s "$GROUPBOOK/v1/offers" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" -d '{{
  "ref": "readme-1", "title": "Paris to Marseille, the early train", "currency": "{currency}",
  "legs": [{{"service": "train", "number": "6105", "operator": "Kestrel Rail",
            "origin": {{"name": "Paris Gare de Lyon", "zone": "Europe/Paris"}},
            "destination": {{"name": "Marseille Saint-Charles", "zone": "Europe/Paris"}},
            "departs_at": "2030-07-05T07:00:00Z", "arrives_at": "2030-07-05T10:15:00Z"}}],
  "fares": {{"standard": {{"amount": 6900, "currency": "{currency}"}}}},
  "valid_until": "2030-07-01T00:00:00Z"
}}' | tee /dev/stderr | grep -o 'off_[0-9a-f]*' | head -1)""",
        ),
        Command(
            "trip",
            """\
curl -s "$GROUPBOOK/v1/trips" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" -d '{
  "title": "Marseille with the gang", "organizer_name": "Ana", "options": [{"offer_id": "'"$OFFER"'"}]
}'""",
        ),
        Command(
            "bookings",
            """\
curl -s "$GROUPBOOK/v1/bookings?limit=1" -H "Authorization: Bearer $KEY\"""",
        ),
        Command(
            "events",
            """\
curl -s "$GROUPBOOK/v1/events?type=booking.confirmed" -H "Authorization: Bearer $KEY\"""",
        ),
        Command(
            "webhook",
            """\
curl -s "$GROUPBOOK/v1/webhook_endpoints" -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" -d '{
  "url": "https://shop.example/groupbook", "event_types": ["booking.confirmed", "booking.canceled"]
}'""",
        ),
    ]

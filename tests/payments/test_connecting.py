"""Which account a configuration charges, and which signing secrets outlive a new one. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from groupbook.payments.connecting import is_same_account, with_secrets

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"account_ref": "acct_a", "secret_key": "1"}, {"account_ref": "acct_a", "secret_key": "2"}, True),
        ({"account": "acct_a", "secret_key": "1"}, {"account_ref": "acct_a", "secret_key": "2"}, True),
        ({"account_ref": "acct_a", "secret_key": "1"}, {"account_ref": "acct_b", "secret_key": "1"}, False),
        ({"account": "acct_a", "account_ref": "acct_b"}, {"account_ref": "acct_b"}, False),  # charged is the first
        ({"secret_key": "1"}, {"account_ref": "acct_a", "secret_key": "1"}, True),
        ({"secret_key": "1"}, {"account_ref": None, "secret_key": "1"}, True),
        ({"secret_key": "1"}, {"account_ref": "acct_a", "secret_key": "2"}, None),
        ({"secret_key": "1"}, {"account": "acct_a", "secret_key": "1"}, None),  # the platform itself, or its account
    ],
)
def test_an_account_is_known_by_its_name_or_its_key(
    one: dict[str, Any], other: dict[str, Any], expected: bool | None
) -> None:
    assert (is_same_account(one, other), is_same_account(other, one)) == (expected, expected)


def test_a_secret_goes_on_to_count_beside_a_new_one_and_alone_without_one() -> None:
    old = {"webhook_secret": "whsec_1", "endpoint_ref": "we_1", "secret_key": "1"}
    rolled = with_secrets({"webhook_secret": "whsec_2", "endpoint_ref": "we_2", "secret_key": "2"}, old, now=NOW)
    assert rolled == {
        "secret_key": "2",
        "webhook_secret": "whsec_2",
        "endpoint_ref": "we_2",
        "webhook_secret_previous": "whsec_1",
        "webhook_secret_previous_until": "2026-06-02T12:00:00+00:00",
    }
    assert with_secrets({"secret_key": "3"}, rolled, now=NOW) == rolled | {"secret_key": "3"}
    assert with_secrets({"secret_key": "3"}, {"secret_key": "1"}, now=NOW) == {"secret_key": "3"}

"""Which amounts a card may be asked for, and which addresses a page may lead to."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from babel.numbers import format_currency

from integrations.demo.payments.errors import WireError

# https://docs.stripe.com/currencies#minimum-and-maximum-charge-amounts, in the currency's smallest unit
_LEAST: Final = {
    **dict.fromkeys(("eur", "usd", "chf", "cad", "aud", "nzd", "sgd", "brl", "inr"), 50),
    "gbp": 30,
    "dkk": 250,
    "nok": 300,
    "sek": 300,
    "pln": 200,
    "ron": 200,
    "czk": 1500,
    "huf": 17_500,
    "aed": 200,
    "myr": 200,
    "hkd": 400,
    "mxn": 1000,
    "thb": 1000,
    "jpy": 50,
}
# https://docs.stripe.com/currencies#special-cases: sent in hundredths although there are none, or in thousandths
# of which the last digit must be 0
_WHOLE_ONLY: Final = {"isk": 100, "ugx": 100}
_TENS_ONLY: Final = frozenset({"bhd", "jod", "kwd", "omr", "tnd"})
_EXPONENTS: Final = {
    **dict.fromkeys(
        ("jpy", "krw", "clp", "vnd", "xaf", "xof", "xpf", "bif", "djf", "gnf", "kmf", "mga", "pyg", "rwf"), 0
    ),
    **dict.fromkeys(("bhd", "jod", "kwd", "omr", "tnd"), 3),
}
_amount_max: Final = 99_999_999


def check_currency(currency: Any, param: str) -> None:
    if not isinstance(currency, str) or not re.fullmatch("[a-z]{3}", currency):
        raise WireError(400, f"Invalid currency: {str(currency)[:10]}", param=param)


def check_amount(amount: int, currency: str, *, what: str, param: str) -> None:
    """Raises WireError: too small, too large, or not chargeable exactly."""
    if amount < _LEAST.get(currency, 50):
        raise WireError(400, f"{what} must be at least the minimum of its currency.", code="amount_too_small")
    if amount > _amount_max:
        raise WireError(400, f"{what} is too large.", code="amount_too_large")
    if amount % _WHOLE_ONLY.get(currency, 1) or (currency in _TENS_ONLY and amount % 10):
        raise WireError(400, f"Invalid amount for {currency}: it cannot be charged exactly.", param=param)


def line_amount(items: Any) -> tuple[int, str, str]:
    """Amount, currency and title of the line items (https://docs.stripe.com/api/checkout/sessions/create)."""
    if not items:
        raise WireError(400, "Missing required param: line_items.", code="parameter_missing", param="line_items")
    amount, currencies, titles = 0, set(), []
    for index, item in enumerate(items):
        path = f"line_items[{index}]"
        price = item.get("price_data")
        if price is None or "unit_amount" not in price or "product_data" not in price or "quantity" not in item:
            raise WireError(400, f"The sandbox needs {path} with quantity and price_data.", param=path)
        if price["unit_amount"] < 0 or item["quantity"] < 1:
            raise WireError(400, f"Invalid amount in {path}", code="parameter_invalid_integer", param=path)
        amount += price["unit_amount"] * item["quantity"]
        currencies.add(price["currency"])
        titles.append(price["product_data"]["name"])
    if len(currencies) != 1:
        raise WireError(400, "All line items must have the same currency.", param="line_items")
    currency = currencies.pop()
    check_currency(currency, "line_items[0][price_data][currency]")
    check_amount(amount, currency, what="The Checkout Session's total amount due", param="line_items")
    return amount, currency, ", ".join(titles)


def check_url(url: Any, param: str) -> None:
    if url is None:
        raise WireError(400, f"Missing required param: {param}.", code="parameter_missing", param=param)
    parts = urlsplit(url) if isinstance(url, str) and re.fullmatch(r"[!-~]{1,5000}", url) else None
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        raise WireError(400, "Not a valid URL", code="url_invalid", param=param)


def shown(minor: int, currency: str, locale: str) -> str:
    """An amount as people read it."""
    value = Decimal(minor).scaleb(-_EXPONENTS.get(currency, 2))
    return format_currency(value, currency.upper(), locale=locale)

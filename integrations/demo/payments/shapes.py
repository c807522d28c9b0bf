"""Which parameters an endpoint takes, read from the SDK's own types, so that a typo fails here as it does at Stripe.

The vendor's package is used for its TypedDicts only; nothing of its client runs in the sandbox.
"""

from __future__ import annotations

import re
import types
import typing
from functools import cache
from typing import Any, Final

import stripe.params as vendor
import stripe.params.checkout as vendor_checkout
import typing_extensions

from integrations.demo.payments.errors import WireError

_OPTIONS: Final = frozenset(
    {
        "api_key",
        "stripe_version",
        "stripe_account",
        "stripe_context",
        "max_network_retries",
        "idempotency_key",
        "content_type",
        "headers",
    }
)
SHAPES: Final[dict[str, Any]] = {
    "account.retrieve": vendor.AccountRetrieveCurrentParams,
    "application_fees.list": vendor.ApplicationFeeListParams,
    "application_fees.retrieve": vendor.ApplicationFeeRetrieveParams,
    "balance_transactions.list": vendor.BalanceTransactionListParams,
    "balance_transactions.retrieve": vendor.BalanceTransactionRetrieveParams,
    "charges.list": vendor.ChargeListParams,
    "charges.retrieve": vendor.ChargeRetrieveParams,
    "checkout.sessions.create": vendor_checkout.SessionCreateParams,
    "checkout.sessions.expire": vendor_checkout.SessionExpireParams,
    "checkout.sessions.list": vendor_checkout.SessionListParams,
    "checkout.sessions.retrieve": vendor_checkout.SessionRetrieveParams,
    "customers.create": vendor.CustomerCreateParams,
    "customers.delete": vendor.CustomerDeleteParams,
    "customers.list": vendor.CustomerListParams,
    "customers.payment_methods.list": vendor.CustomerPaymentMethodListParams,
    "customers.retrieve": vendor.CustomerRetrieveParams,
    "customers.update": vendor.CustomerUpdateParams,
    "disputes.close": vendor.DisputeCloseParams,
    "disputes.list": vendor.DisputeListParams,
    "disputes.retrieve": vendor.DisputeRetrieveParams,
    "disputes.update": vendor.DisputeUpdateParams,
    "events.list": vendor.EventListParams,
    "events.retrieve": vendor.EventRetrieveParams,
    "payment_intents.cancel": vendor.PaymentIntentCancelParams,
    "payment_intents.capture": vendor.PaymentIntentCaptureParams,
    "payment_intents.confirm": vendor.PaymentIntentConfirmParams,
    "payment_intents.create": vendor.PaymentIntentCreateParams,
    "payment_intents.list": vendor.PaymentIntentListParams,
    "payment_intents.retrieve": vendor.PaymentIntentRetrieveParams,
    "payment_methods.attach": vendor.PaymentMethodAttachParams,
    "payment_methods.detach": vendor.PaymentMethodDetachParams,
    "payment_methods.list": vendor.PaymentMethodListParams,
    "payment_methods.retrieve": vendor.PaymentMethodRetrieveParams,
    "refunds.create": vendor.RefundCreateParams,
    "refunds.list": vendor.RefundListParams,
    "refunds.retrieve": vendor.RefundRetrieveParams,
    "reviews.approve": vendor.ReviewApproveParams,
    "reviews.list": vendor.ReviewListParams,
    "reviews.retrieve": vendor.ReviewRetrieveParams,
    "setup_intents.cancel": vendor.SetupIntentCancelParams,
    "setup_intents.create": vendor.SetupIntentCreateParams,
    "setup_intents.list": vendor.SetupIntentListParams,
    "setup_intents.retrieve": vendor.SetupIntentRetrieveParams,
    "webhook_endpoints.create": vendor.WebhookEndpointCreateParams,
    "webhook_endpoints.delete": vendor.WebhookEndpointDeleteParams,
    "webhook_endpoints.list": vendor.WebhookEndpointListParams,
    "webhook_endpoints.retrieve": vendor.WebhookEndpointRetrieveParams,
    "webhook_endpoints.update": vendor.WebhookEndpointUpdateParams,
}
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
_depth_max: Final = 8


def decode(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Nested parameters from `a[b][0][c]=v` pairs, as Stripe's own libraries encode them.

    Raises:
        WireError: brackets that do not close, two shapes for one name, or nesting too deep.
    """
    root: dict[str, Any] = {}
    for name, value in pairs:
        head, _, rest = name.partition("[")
        path = [head]
        if rest:
            tail = "[" + rest
            if _BRACKETS.sub("", tail) or not head:
                raise WireError(400, f"Invalid parameter name: {name}", param=name)
            path += _BRACKETS.findall(tail)
        if len(path) > _depth_max:
            raise WireError(400, f"Parameter nested too deeply: {name}", param=head)
        place = root
        for step in path[:-1]:
            place = place.setdefault(step, {})
            if not isinstance(place, dict):
                raise WireError(400, f"Invalid parameter name: {name}", param=name)
        if path[-1] == "":
            place[str(len(place))] = value
        elif path[-1] in place:
            raise WireError(400, f"Parameter given twice: {name}", param=name)
        else:
            place[path[-1]] = value
    return root


def check(operation: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters with their types, or Stripe's error for the first wrong one."""
    return _structure(SHAPES[operation], given, "")


@cache
def _fields(shape: Any) -> dict[str, Any]:
    # The options every shape inherits name types of another module, so only its own names are resolved.
    own = {name: hint for name, hint in shape.__annotations__.items() if name not in _OPTIONS}
    carrier = type(shape.__name__, (), {"__annotations__": own, "__module__": shape.__module__})
    return typing_extensions.get_type_hints(carrier, include_extras=True)


def _structure(shape: Any, given: Any, path: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise WireError(400, f"Invalid object: {path}", param=path)
    fields = _fields(shape)
    out = {}
    for name, value in given.items():
        full = f"{path}[{name}]" if path else name
        if name not in fields:
            raise WireError(400, f"Received unknown parameter: {full}", code="parameter_unknown", param=full)
        out[name] = _value(fields[name], value, full)
    for name in sorted(shape.__required_keys__ - _OPTIONS):
        if name not in given:
            full = f"{path}[{name}]" if path else name
            raise WireError(400, f"Missing required param: {full}.", code="parameter_missing", param=full)
    return out


def _value(hint: Any, value: Any, path: str) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing_extensions.NotRequired, typing_extensions.Required):
        return _value(typing.get_args(hint)[0], value, path)
    if origin in (typing.Union, types.UnionType):
        return _one_of(typing.get_args(hint), value, path)
    if origin is typing.Literal:
        return _literal((hint,), value, path)
    if origin is list:
        return _list(typing.get_args(hint)[0], value, path)
    if origin is dict:
        return _mapping(value, path)
    if typing_extensions.is_typeddict(hint):
        return _structure(hint, value, path)
    if isinstance(value, dict):
        return _mapping(value, path) if hint is Any else _fail(path, "string")
    if hint is bool:
        return {"true": True, "false": False}[value] if value in ("true", "false") else _fail(path, "boolean")
    if hint is int:
        if not re.fullmatch(r"-?[0-9]{1,16}", value):
            raise WireError(400, f"Invalid integer: {value[:40]}", code="parameter_invalid_integer", param=path)
        return int(value)
    return value


def _one_of(options: tuple[Any, ...], value: Any, path: str) -> Any:
    options = tuple(option for option in options if option is not type(None))
    literals = tuple(option for option in options if typing.get_origin(option) is typing.Literal)
    if isinstance(value, dict):
        shapes = [option for option in options if option not in literals and option is not str]
        return _value(shapes[0], value, path) if shapes else _fail(path, "string")
    if str in options and all(typing.get_args(option) == ("",) for option in literals):
        literals = ()  # any text; the empty one unsets it (docs.stripe.com/api/metadata)
    if literals and (value in typing.get_args(literals[0]) or all(option in (*literals, str) for option in options)):
        # The SDK's "or any other string" is for values of later versions; the server of this one does not know them.
        return _literal(literals, value, path)
    plain = [option for option in options if option in (int, bool, str)]
    return _value(plain[0], value, path) if plain else _fail(path, "object")


def _literal(hints: tuple[Any, ...], value: Any, path: str) -> Any:
    allowed = [choice for hint in hints for choice in typing.get_args(hint)]
    if value not in allowed:
        raise WireError(400, f"Invalid {path}: must be one of {', '.join(map(str, allowed[:12]))}", param=path)
    return value


def _list(hint: Any, value: Any, path: str) -> list[Any]:
    if not isinstance(value, dict) or any(not key.isdigit() for key in value):
        raise WireError(400, f"Invalid array: {path}", param=path)
    ordered = sorted(value.items(), key=lambda item: int(item[0]))
    return [_value(hint, item, f"{path}[{key}]") for key, item in ordered]


def _mapping(value: Any, path: str) -> dict[str, str]:
    # https://docs.stripe.com/api/metadata: 50 keys, names of 40 characters, values of 500.
    if value == "":
        return {}
    if not isinstance(value, dict) or any(not isinstance(item, str) for item in value.values()):
        raise WireError(400, f"Invalid object: {path}", param=path)
    if len(value) > 50 or any(len(key) > 40 or len(item) > 500 for key, item in value.items()):
        raise WireError(400, f"Metadata of {path} is too large", param=path)
    return dict(value)


def _fail(path: str, wanted: str) -> typing.NoReturn:
    raise WireError(400, f"Invalid {wanted}: {path}", param=path)

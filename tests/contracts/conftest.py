"""Every provider the payment contract runs on: the twin, and the Stripe adapter against the sandbox.

The sandbox told from inside, for a key's own account and for one that lets the operator's platform act for it, with its
hosted page and with its fields on a page of ours; and from outside through its pages, as Stripe itself with a test key.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integrations.demo.payments.store import ACCOUNT
from integrations.payments.stripe import Platform, connect
from integrations.payments.twin import Twin
from tests.support.payment_benches import Bench, OwnPageBench, StripeBench, TwinBench
from tests.support.payments import API_KEY, WEBHOOK_SECRET, RunningSandbox, connected_account, running
from tests.support.stripe_bench import Payer, RemoteBench


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSandbox]:
    folder: Path = tmp_path_factory.mktemp("sandbox")
    with running(folder) as server:
        yield server


@pytest.fixture(
    params=[
        "twin",
        "stripe",
        "stripe_connected",
        "twin_own_page",
        "stripe_own_page",
        "stripe_connected_own_page",
        pytest.param("stripe_from_outside", marks=pytest.mark.browser),
        pytest.param("stripe_itself", marks=[pytest.mark.browser, pytest.mark.stripe]),
    ]
)
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    is_own = request.param.endswith("_own_page")
    if request.param.startswith("twin"):
        yield TwinBench(Twin(has_own_page=is_own))
        return
    if request.param == "stripe_itself":
        remote = RemoteBench(os.environ["GROUPBOOK_TEST_STRIPE_KEY"], Payer(request.getfixturevalue("browser")))
        yield remote
        remote.provider.close()
        return
    if request.param == "stripe_from_outside":
        server = request.getfixturevalue("sandbox")
        remote = RemoteBench(API_KEY, Payer(request.getfixturevalue("browser")), server.url, server)
        yield remote
        remote.provider.close()
        return
    sandbox = request.getfixturevalue("sandbox")
    configuration: dict[str, Any]
    if "connected" not in request.param:
        account = None
        configuration = {"secret_key": API_KEY, "webhook_secret": WEBHOOK_SECRET, "api_base": sandbox.url}
    else:
        account = connected_account(sandbox)
        configuration = {"account": account, "fee_basis_points": 150, "webhook_secret": WEBHOOK_SECRET}
    publishable_key = sandbox.sandbox.keys.publishable
    platform = Platform(API_KEY, api_base=sandbox.url, connect_base=sandbox.url, publishable_key=publishable_key)
    if is_own:
        configuration |= {"page": "own"} | ({} if account else {"publishable_key": publishable_key})
    provider = connect(configuration, livemode=False, platform=platform)
    with sandbox.sandbox.store.acting_for(account or ACCOUNT):
        yield (OwnPageBench if is_own else StripeBench)(provider, sandbox)
    sandbox.sandbox.store.clear_faults()
    provider.close()

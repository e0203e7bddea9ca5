"""PostgreSQL and Valkey die under the running product: pages say so, recover by themselves, and no run is lost."""

import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from benchmarks.product import Product
from dashboard.auth.roles import Role

pytestmark = pytest.mark.browser

SignedIn = Callable[..., Page]
SOON_MS = 45_000
"""A page notices within its refresh interval; a busy machine takes longer."""


def figures(page: Page) -> None:
    expect(page.get_by_test_id("stMetricValue").first).to_be_visible(timeout=SOON_MS)


def api(page: Page, product: Product, method: str, path: str, **sent: Any) -> Any:
    answer = page.request.fetch(
        f"{product.url}/api/v1{path}", method=method, headers={"Origin": product.url}, timeout=30_000, **sent
    )
    assert answer.ok, f"{method} {path}: {answer.status} {answer.text()[:500]}"
    return answer.json()


def start_runs(page: Page, product: Product, count: int) -> list[str]:
    body = {"params": {"base_url": product.url}}
    path = "/workflows/document-intake/runs"
    return [api(page, product, "POST", path, data=body)["run_id"] for _ in range(count)]


def all_completed(page: Page, product: Product, run_ids: list[str]) -> None:
    deadline = time.monotonic() + 90
    while True:
        details = [api(page, product, "GET", f"/runs/{run_id}") for run_id in run_ids]
        states = {detail["row"]["status"] for detail in details}
        if states == {"completed"}:
            return
        assert "failed" not in states, [(detail["row"]["status"], detail["error"]) for detail in details]
        assert time.monotonic() < deadline, states
        page.wait_for_timeout(300)


def test_without_valkey_pages_say_so_and_what_is_started_is_kept(signed_in: SignedIn, product: Product):
    page = signed_in(Role.OPERATOR, "/agents?refresh=10s")
    expect(page.get_by_text("● Live")).to_be_visible()
    product.kill("valkey")
    try:
        run_ids = start_runs(page, product, 2)
        expect(page.get_by_text("Live states are away; states as of")).to_be_visible(timeout=SOON_MS)
        expect(page.get_by_text("Redis is away").first).to_be_visible(timeout=SOON_MS)
        expect(page.get_by_text("Work you start is kept there and begins when Redis returns").first).to_be_visible()
        expect(page.get_by_role("option")).not_to_have_count(0)
    finally:
        product.start_server(product.valkey)
    expect(page.get_by_text("● Live")).to_be_visible(timeout=SOON_MS)
    expect(page.get_by_text("Redis is away")).to_have_count(0, timeout=SOON_MS)
    all_completed(page, product, run_ids)


def test_without_postgresql_pages_say_so_and_go_on_when_it_is_back(signed_in: SignedIn, product: Product):
    page = signed_in(Role.OPERATOR, "/?refresh=10s")
    figures(page)
    run_ids = start_runs(page, product, 3)
    product.kill("postgres")
    try:
        expect(page.get_by_text("PostgreSQL is away").first).to_be_visible(timeout=SOON_MS)
        expect(page.get_by_text("This page recovers by itself").first).to_be_visible()
    finally:
        product.start_server(product.postgres)
    expect(page.get_by_text("PostgreSQL is away")).to_have_count(0, timeout=SOON_MS)
    figures(page)
    all_completed(page, product, run_ids)

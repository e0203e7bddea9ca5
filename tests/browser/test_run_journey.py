"""One run from its start to its retry, as people follow it on the page of the run."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from benchmarks.product import Product
from browser.looking import every_step_completed
from dashboard.auth.roles import Role

pytestmark = pytest.mark.browser

SignedIn = Callable[..., Page]
BY_A_WORKER_MS = 60_000
DEFINITION = """
name: expense
params: {type: object, properties: {customer: {type: string, title: Customer, default: Ada}}}
nodes:
  - {id: check, name: Check it, kind: sql.query, config: {sql: SELECT 42 AS answer}}
  - id: ask
    name: Ask for approval
    kind: approval
    needs: [check]
    config:
      title: "Pay the expense of {{ params.customer }}?"
      form: {type: object, required: [reason], properties: {reason: {type: string, title: Reason}}}
  - {id: pay, kind: transform, needs: [ask], config: {input: {paid: true}, steps: []}}
"""


def send(page: Page, product: Product, path: str, body: Any) -> Any:
    answer = page.request.post(f"{product.url}/api/v1{path}", headers={"Origin": product.url}, data=body)
    assert answer.ok, f"{path}: {answer.status} {answer.text()[:500]}"
    return answer.json()


def start(page: Page, product: Product) -> str:
    send(page, product, "/workflows", {"definition": DEFINITION})
    return str(send(page, product, "/workflows/expense/runs", {"params": {"customer": "Grace"}})["run_id"])


def choose_step(page: Page, *keys: str) -> None:
    """Open a step of the graph as the keyboard does."""
    page.get_by_role("listbox").focus()
    for key in (*keys, "Enter"):
        page.keyboard.press(key)


def test_a_run_is_approved_looked_into_and_retried_from_a_step(
    signed_in: SignedIn, product: Product, findings_of: Callable[[Page], dict[str, list[str]]]
):
    page = signed_in(Role.OPERATOR, "/runs")
    run_id = start(page, product)
    page.goto(f"{product.url}/run?run={run_id}")
    main = page.get_by_test_id("stMain")
    expect(main.get_by_text("Pay the expense of Grace?")).to_be_visible(timeout=BY_A_WORKER_MS)
    assert findings_of(page) == {}
    page.get_by_role("button", name="Approve").click()
    expect(main.get_by_text("This field is required")).to_be_visible()
    page.get_by_label("Reason *").fill("Fits the budget")
    page.get_by_role("button", name="Approve").click()
    expect(main.get_by_role("heading", name="Completed")).to_be_visible(timeout=BY_A_WORKER_MS)
    every_step_completed(page)

    choose_step(page, "Home")
    expect(page).to_have_url(re.compile("node=check"))
    panel = page.locator(".st-key-run\\.step, .st-key-run-step")
    expect(panel.get_by_text("42")).to_be_visible()
    panel.get_by_text("Log", exact=True).click()
    expect(panel.get_by_test_id("stCode")).to_contain_text("INFO")
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download").click()
    assert "INFO" in download.value.path().read_text(encoding="utf-8")

    panel.get_by_role("button", name="Close").click()
    expect(panel).to_have_count(0)
    choose_step(page, "Home", "ArrowRight")
    expect(page).to_have_url(re.compile("node=ask"))
    panel.get_by_role("button", name="Retry from here").click()
    expect(main.get_by_text("Keeps the results of 1 of 3 steps: check.")).to_be_visible()
    page.locator(".st-key-run-retry_form, .st-key-run\\.retry_form").get_by_role("button", name="Retry").click()
    expect(page).not_to_have_url(re.compile(run_id))
    expect(page).to_have_url(re.compile(r"run=[0-9a-f-]{36}"))
    expect(main.get_by_text("Pay the expense of Grace?")).to_be_visible(timeout=BY_A_WORKER_MS)
    page.get_by_role("button", name="Reject").click()
    expect(main.get_by_role("heading", name="Completed")).to_be_visible(timeout=BY_A_WORKER_MS)


def test_runs_are_found_by_a_link_and_one_is_watched_over_time(signed_in: SignedIn, product: Product):
    page = signed_in(Role.OPERATOR, "/runs?range=30d&state=Failed")
    expect(page.get_by_test_id("stDataFrame").first).to_be_visible()
    expect(page.get_by_role("button", name="Clear")).to_be_visible()
    run_id = start(page, product)
    page.goto(f"{product.url}/run?run={run_id}&view=Time+line")
    main = page.get_by_test_id("stMain")
    expect(main.get_by_text("Pay the expense of Grace?")).to_be_visible(timeout=BY_A_WORKER_MS)
    expect(page.locator(".js-plotly-plot")).to_be_visible(timeout=BY_A_WORKER_MS)
    page.get_by_role("button", name="Cancel").click()
    expect(main.get_by_role("heading", name="Cancelled")).to_be_visible(timeout=BY_A_WORKER_MS)

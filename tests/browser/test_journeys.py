"""What people do with Helmsight, in a real browser against the running product."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from benchmarks.product import PASSWORD, Product
from browser.looking import every_step_completed, heading, settled
from dashboard.auth.roles import Role
from worker.ocr.sample import SAMPLE_TEXT, sample_image_path

pytestmark = pytest.mark.browser

SignedIn = Callable[..., Page]
BY_A_WORKER_MS = 60_000
"""How long a worker on a busy machine may take to finish what was asked for."""


def fill_sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()


def test_signing_in_leads_to_figures(page: Page, product: Product):
    page.goto(product.url)
    expect(page).to_have_url(re.compile("/login"))
    fill_sign_in(page, product.email(Role.VIEWER), PASSWORD)
    heading(page, "Overview")
    settled(page)
    figures = page.get_by_test_id("stMetricValue")
    expect(figures.first).to_be_visible()
    values = figures.all_inner_texts()
    assert len(values) >= 5
    assert any(re.search(r"\d", value) for value in values)


def test_after_signing_in_one_is_where_one_wanted_to_go(page: Page, product: Product):
    page.goto(f"{product.url}/slos?range=7d")
    expect(page).to_have_url(re.compile("/login"))
    fill_sign_in(page, product.email(Role.VIEWER), PASSWORD)
    heading(page, "SLOs")
    expect(page).to_have_url(re.compile(r"/slos\?.*range=7d"))


def test_a_wrong_password_lets_nobody_in(page: Page, product: Product):
    page.goto(product.url)
    fill_sign_in(page, product.email(Role.ADMIN), "not the password")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page).to_have_url(re.compile("/login"))
    page.goto(f"{product.url}/admin")
    expect(page).to_have_url(re.compile("/login"))


def test_a_session_survives_a_reload_and_ends_on_signing_out(signed_in: SignedIn, product: Product):
    page = signed_in(Role.VIEWER)
    page.reload()
    heading(page, "Overview")
    cookies = page.context.cookies()
    page.get_by_test_id("stSidebar").get_by_role("button", name="Viewer").click()
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(re.compile("/login"))
    page.context.add_cookies(cookies)
    page.goto(product.url)
    expect(page).to_have_url(re.compile("/login"))


def test_an_operator_starts_a_workflow_and_watches_it_complete(signed_in: SignedIn, product: Product):
    page = signed_in(Role.OPERATOR, "/workflows?workflow=document-intake")
    page.get_by_label("Dashboard", exact=True).fill(product.url)
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page).to_have_url(re.compile(r"/run\?.*run=[0-9a-f-]{36}"))
    steps = page.get_by_role("option")
    expect(steps).not_to_have_count(0)
    every_step_completed(page, BY_A_WORKER_MS)
    expect(steps).not_to_have_count(0)
    expect(page.get_by_test_id("stMain").get_by_text("Completed").first).to_be_visible()


def test_an_uploaded_picture_becomes_text(signed_in: SignedIn):
    page = signed_in(Role.OPERATOR, "/ocr")
    page.locator("input[type=file]").set_input_files(sample_image_path())
    expect(page.get_by_test_id("stFileChipName")).to_have_text("sample-invoice.png")
    page.get_by_role("button", name="Read the text").click()
    expect(page).to_have_url(re.compile(r"document=[0-9a-f-]{36}"))
    longest = max(SAMPLE_TEXT.splitlines(), key=len)
    word = max(longest.split(), key=len)
    expect(page.get_by_test_id("stMain").get_by_text(word).first).to_be_visible(timeout=BY_A_WORKER_MS)


def test_what_is_no_picture_is_refused_with_a_reason(signed_in: SignedIn, tmp_path: Path):
    fake = tmp_path / "holiday.png"
    fake.write_bytes(b"MZ this is a program, not a picture")
    page = signed_in(Role.OPERATOR, "/ocr")
    page.locator("input[type=file]").set_input_files(fake)
    expect(page.get_by_text("holiday.png")).to_be_visible()
    page.get_by_role("button", name="Read the text").click()
    expect(page.get_by_test_id("stAlert").first).to_be_visible()
    expect(page).not_to_have_url(re.compile("document="))


def test_a_tool_is_called_and_answers(signed_in: SignedIn):
    page = signed_in(Role.OPERATOR, "/mcp?server=helmsight&tool=text_statistics")
    page.get_by_label("Text *").fill("Three short words")
    page.get_by_role("button", name="Call", exact=True).click()
    expect(page.get_by_role("link", name="Open the run")).to_be_visible(timeout=BY_A_WORKER_MS)
    expect(page.get_by_test_id("stMain").get_by_text("helmsight · text_statistics")).to_be_visible()
    expect(page.get_by_test_id("stCode").first).to_contain_text('"words": 3')


def test_a_viewer_cannot_start_anything(signed_in: SignedIn, product: Product):
    page = signed_in(Role.VIEWER)
    expect(page.get_by_test_id("stSidebar").get_by_role("link", name="Workflows")).to_have_count(0)
    page.goto(f"{product.url}/workflows?workflow=document-intake")
    settled(page)
    expect(page.get_by_role("button", name="Start", exact=True)).to_have_count(0)
    expect(page.get_by_text("Hours of history")).to_have_count(0)
    answer = page.request.post(
        f"{product.url}/api/v1/workflows/document-intake/runs", data={"params": {}}, headers={"Origin": product.url}
    )
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("application/problem+json")


def test_an_analyst_sees_workflows_but_cannot_start_them(signed_in: SignedIn):
    page = signed_in(Role.ANALYST, "/workflows?workflow=document-intake")
    expect(page.get_by_role("button", name="Start", exact=True)).to_be_disabled()


def test_the_time_range_follows_the_reader_from_page_to_page(signed_in: SignedIn):
    page = signed_in(Role.VIEWER)
    page.get_by_role("radio", name="7d").click()
    expect(page).to_have_url(re.compile("range=7d"))
    page.get_by_test_id("stSidebar").get_by_role("link", name="SLOs").click()
    heading(page, "SLOs")
    expect(page).to_have_url(re.compile(r"/slos\?.*range=7d"))


def test_an_agent_is_chosen_in_the_graph(signed_in: SignedIn):
    page = signed_in(Role.VIEWER, "/agents")
    expect(page.get_by_text("● Live")).to_be_visible()
    agents = page.get_by_role("listbox")
    agents.focus()
    page.keyboard.press("Enter")
    expect(page.locator("[role=option][aria-selected=true]")).to_have_count(1)
    expect(page).to_have_url(re.compile("agent="))


def test_a_dark_system_gets_dark_pages(signed_in: SignedIn):
    page = signed_in(Role.VIEWER)
    page.emulate_media(color_scheme="dark")
    page.reload()
    heading(page, "Overview")
    color = page.get_by_test_id("stApp").evaluate("element => getComputedStyle(element).backgroundColor")
    assert sum(int(part) for part in re.findall(r"\d+", color)[:3]) < 150


def test_an_unknown_address_says_so(signed_in: SignedIn, product: Product):
    page = signed_in(Role.VIEWER)
    answer = page.goto(f"{product.url}/no-such-page")
    assert answer is not None
    assert answer.status == 404

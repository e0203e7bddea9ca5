"""What tests in a browser wait for before they look."""

from playwright.sync_api import Page, expect


def heading(page: Page, name: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("heading", name=name, level=1)).to_be_visible()


def every_step_completed(page: Page, timeout_ms: float | None = None) -> None:
    """Wait until the graph shows each step of the run as completed; say what it shows when that does not come."""
    try:
        expect(page.locator("[role=option]:not([data-state=completed])")).to_have_count(0, timeout=timeout_ms)
    except AssertionError as error:
        steps = {step.inner_text(): step.get_attribute("data-state") for step in page.get_by_role("option").all()}
        raise AssertionError(f"{steps}\n{page.get_by_test_id('stMain').inner_text()[:2000]}") from error


def settled(page: Page) -> None:
    """Wait until the script has ended and everything it drew is there."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)

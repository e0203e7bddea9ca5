"""What tests in a browser wait for before they look."""

from playwright.sync_api import Page, expect


def heading(page: Page, name: str) -> None:
    expect(page.get_by_test_id("stMain").get_by_role("heading", name=name, level=1)).to_be_visible()


def settled(page: Page) -> None:
    """Wait until the script has ended and everything it drew is there."""
    expect(page.locator("[data-testid=stApp][data-test-script-state=notRunning]")).to_have_count(1)
    expect(page.get_by_test_id("stSkeleton")).to_have_count(0)

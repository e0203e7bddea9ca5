"""Writing an objective as text: what is wrong is told while it is typed, and typing can be taken back."""

from collections.abc import Callable

from playwright.sync_api import Page, expect

from dashboard.auth.roles import Role


def test_mistakes_are_told_while_typing_and_discarded_with_the_text(signed_in: Callable[..., Page]):
    page = signed_in(Role.OPERATOR, "/slo_editor?id=api_availability")
    page.get_by_role("radio", name="Text").click()
    text = page.get_by_role("textbox", name="Objective (YAML)")
    expect(text).to_contain_text("target: 99.9%")
    text.click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("owner: [nobody]\nserv1ce: api\n")
    expect(page.get_by_text("2 problems")).to_be_visible()
    expect(page.get_by_text("did you mean 'service'")).to_be_visible()
    page.get_by_role("radio", name="Form").click()
    expect(page.get_by_text("text is needed, not a list")).to_be_visible()
    page.get_by_role("button", name="Discard changes").click()
    expect(page.get_by_text("As saved")).to_be_visible()
    page.get_by_role("radio", name="Text").click()
    expect(text).not_to_contain_text("serv1ce")

"""The API page in Chromium: Swagger UI with the daemon's OpenAPI document."""

from playwright.async_api import expect

from spsd.testing.daemon import PASSWORD, USER


async def execute(page, operation: str) -> tuple[str, str]:
    """Open an operation and execute it; the status and the body of the response."""
    block = page.locator(f"[id$='-{operation}']")
    await block.locator(".opblock-summary-control").click()
    await block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table .response").first
    await live.wait_for()
    status = await live.locator(".response-col_status").inner_text()
    body = await live.locator(".response-col_description").inner_text()
    return status.split()[0], body


async def test_requests_use_the_session_cookie(screens, daemon):
    screen = await screens()
    page = screen.page
    await page.goto(f"{daemon.url}/api/docs")
    await page.get_by_role("button", name="Authorize", exact=True).first.wait_for()
    status, body = await execute(page, "listDownloads")
    assert status == "401"
    assert "Unauthenticated" in body
    await page.get_by_role("button", name="Authorize", exact=True).first.click()
    dialog = page.locator(".modal-ux")
    basic = dialog.locator(".auth-container", has_text="basic")
    await basic.locator("input[type=text]").fill(USER)
    await basic.locator("input[type=password]").fill(PASSWORD)
    await basic.locator("button.authorize").click()
    await dialog.get_by_role("button", name="Close").last.click()
    status, body = await execute(page, "logIn")
    assert status == "200"
    assert "session_id" in {cookie["name"] for cookie in await page.context.cookies()}
    # Again, with the session cookie.
    block = page.locator("[id$='-listDownloads']")
    await block.get_by_role("button", name="Execute").click()
    status = block.locator(".live-responses-table .response .response-col_status").first
    await expect(status).to_contain_text("200")


async def test_every_operation_is_listed(screens, daemon):
    screen = await screens()
    await screen.page.goto(f"{daemon.url}/api/docs")
    await screen.page.locator(".opblock").first.wait_for()
    document = await screen.page.evaluate("fetch('/api/openapi.json').then(r => r.json())")
    described = sum(len(operations) for operations in document["paths"].values())
    assert await screen.page.locator(".opblock").count() == described

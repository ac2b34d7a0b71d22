"""The dashboard in Chromium, with a daemon and its downloads."""

import hashlib
import json
import re
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Request, Route, expect

from spsd.testing.daemon import PASSWORD, USER
from spsd.testing.origin import Hang, Origin, Status, Whole
from spsd.testing.simulated import CLOCK, set_clock
from spsd.web.limits import FollowerShares
from testbed.driver import Daemon
from testbed.iso import build_iso
from tests.browser.conftest import PICTURES, TIMEOUT_MS, Screens
from tests.events import ACCEPT

expect.set_options(timeout=TIMEOUT_MS)
SCHEMES = ["light", "dark"]


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return build_iso(tmp_path / "appliance-2.iso", size=3_000_000).read_bytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_a_wrong_password_is_an_error_of_the_form_without_a_browser_prompt(screens) -> None:
    screen = await screens()
    await screen.page.goto(f"{screen.daemon.url}/")
    await screen.page.get_by_label("User").fill(USER)
    await screen.page.get_by_label("Password").fill("wrong")
    await screen.page.get_by_role("button", name="Log in").click()
    await expect(screen.page.locator("#log-in-form .problem")).to_contain_text("wrong")
    await screen.page.get_by_label("Password").fill(PASSWORD)
    await screen.page.keyboard.press("Enter")
    await expect(screen.page.get_by_role("heading", name="Downloads")).to_be_visible()


async def test_a_download_from_a_checksum_line_into_a_slot(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    async with Origin({"/images/appliance-2.iso": image}) as origin:
        await screen.page.get_by_text("New download").click()
        await screen.page.get_by_label("URL of the image").fill(origin.url("/images/"))
        line = f"{digest(image)} *appliance-2.iso"
        await screen.page.get_by_label(re.compile("SHA-256")).fill(line)
        await screen.page.get_by_role("button", name="Fetch").click()
        row = screen.row("appliance-2.iso")
        await expect(row).to_have_attribute("data-status", "finished")
        await expect(row.locator(".amount")).to_contain_text("in slot 1")
    card = screen.page.locator(".slot", has_text="Slot 1")
    await expect(card.locator(".version")).to_have_text("2.5.0")
    await row.get_by_text("History").click()
    await expect(row.locator(".history li").last).to_contain_text("install → finished")
    await row.get_by_role("button", name="Remove").click()
    await expect(screen.page.locator("#no-downloads")).to_be_visible()


async def test_an_invalid_digest_is_not_sent(screens) -> None:
    screen = await screens()
    await screen.log_in()
    await screen.page.get_by_text("New download").click()
    await screen.page.get_by_label("URL of the image").fill("http://x.example/a.iso")
    await screen.page.get_by_label(re.compile("SHA-256")).fill("abc")
    await screen.page.get_by_role("button", name="Fetch").click()
    await expect(screen.page.locator("#new-form .problem")).to_contain_text("64 hexadecimal")


async def test_progress_and_cancellation(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    async with Origin({"/appliance-2.iso": image}, [Hang(1_500_000)]) as origin:
        await screen.daemon.submit(origin.url("/appliance-2.iso"), digest(image))
        row = screen.row("appliance-2.iso")
        await expect(row.locator(".amount")).to_contain_text("50 % of 3.0 MB")
        assert await row.locator("progress").evaluate("bar => bar.value") == pytest.approx(0.5)
        await row.get_by_role("button", name="Cancel").click()
        await screen.page.get_by_role("button", name="Back").click()
        await expect(row).to_have_attribute("data-status", "in-progress")
        await row.get_by_role("button", name="Cancel").click()
        await screen.page.get_by_role("button", name="Cancel the download").click()
        await expect(row).to_have_attribute("data-status", "cancelled")


async def test_a_failure_includes_advice(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    async with Origin({"/a.iso": image}, always=Status(404)) as origin:
        await screen.daemon.submit(origin.url("/a.iso"), digest(image))
        problem = screen.row("a.iso").locator(".problem")
        await expect(problem).to_contain_text("origin_status: the origin answered 404. Check")


async def test_an_upload_a_test_and_an_upgrade(screens, image: bytes, tmp_path: Path) -> None:
    screen = await screens()
    await screen.log_in()
    page = screen.page
    await page.get_by_label("Upload an image").set_input_files(tmp_path / "appliance-2.iso")
    await page.get_by_role("button", name="Upload", exact=True).click()
    await expect(page.locator("#upload-status")).to_contain_text("appliance-2.iso is in slot 1")
    await page.get_by_role("button", name="Test slot 1").click()
    await expect(page.locator("#report-title")).to_have_text("Slot 1 passed its test")
    await page.get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Upgrade to slot 1").click()
    await page.get_by_role("button", name="Upgrade", exact=True).click()
    await expect(page.locator("#report-title")).to_have_text("Slot 1 runs after a restart")
    await page.keyboard.press("Escape")
    card = page.locator(".slot", has_text="Slot 1")
    await expect(card.locator(".marks")).to_have_text("runs after a restart")
    await page.get_by_role("button", name="Empty slot 1").click()
    await page.get_by_role("button", name="Empty the slot").click()
    await expect(page.locator("#notification")).to_contain_text("runs after the next reboot")
    await expect(card.locator(".version")).to_have_text("2.5.0")


async def test_an_upload_of_another_file_than_an_image(screens, tmp_path: Path) -> None:
    screen = await screens()
    await screen.log_in()
    (tmp_path / "text").write_bytes(b"no image" * 1000)
    await screen.page.get_by_label("Upload an image").set_input_files(tmp_path / "text")
    await screen.page.get_by_role("button", name="Upload", exact=True).click()
    await expect(screen.page.locator("#upload-form .problem")).to_contain_text("refused")


async def test_a_lost_connection_is_opened_again(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    port = int(screen.daemon.url.rpartition(":")[2])
    async with Origin({"/a.iso": image}, [Hang(1_000_000), Whole()]) as origin:
        await screen.daemon.submit(origin.url("/a.iso"), digest(image))
        await expect(screen.row("a.iso").locator(".amount")).to_contain_text("33 %")
        await screen.daemon.kill()
        await expect(screen.page.locator("#connection")).to_contain_text("does not respond")
        screen.daemon.server = {"port": port}
        screen.daemon.configure()
        await screen.daemon.start()
        await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")
        await expect(screen.page.locator("#connection")).to_be_hidden()


async def test_two_browsers_show_the_same_state(screens, image: bytes) -> None:
    first, second = await screens(), await screens()
    await first.log_in()
    await second.log_in()
    async with Origin({"/a.iso": image}) as origin:
        await first.page.get_by_text("New download").click()
        await first.page.get_by_label("URL of the image").fill(origin.url("/a.iso"))
        await first.page.get_by_label(re.compile("SHA-256")).fill(digest(image))
        await first.page.get_by_role("button", name="Fetch").click()
        for screen in (first, second):
            await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")
            await expect(screen.page.locator(".slot .version").first).to_have_text("2.5.0")
        await second.row("a.iso").get_by_role("button", name="Remove").click()
        await expect(first.row("a.iso")).to_have_count(0)


async def test_a_viewer_has_no_buttons(screens, daemon: Daemon, image: bytes) -> None:
    await daemon.add_user("viewer", "viewer")
    async with Origin({"/a.iso": image}) as origin:
        await daemon.over(await daemon.submit(origin.url("/a.iso"), digest(image)))
    screen = await screens()
    await screen.log_in("viewer")
    await expect(screen.row("a.iso")).to_be_visible()
    buttons = screen.page.get_by_role("button").filter(visible=True)
    await expect(buttons).to_have_text(["Log out"])


async def test_a_log_out_and_an_expired_session(screens) -> None:
    screen, other = await screens(), await screens()
    await screen.log_in()
    await other.log_in()
    await screen.page.get_by_role("button", name="Log out").click()
    await expect(screen.page.get_by_role("heading", name="Log in")).to_be_visible()
    await other.page.get_by_text("New download").click()
    await other.page.get_by_label("URL of the image").fill("http://x.example/a.iso")
    await other.page.get_by_label(re.compile("SHA-256")).fill("a" * 64)
    await other.page.context.clear_cookies()
    await other.page.get_by_role("button", name="Fetch").click()
    await expect(other.page.locator("#log-in-form .problem")).to_contain_text("has expired")


async def test_one_url_does_not_break_the_list_and_shows_no_character_that_is_not_visible(
    screens, image: bytes
) -> None:
    screen = await screens()
    paths = {
        "%ZZ": "%ZZ",
        "%FC.iso": "%FC.iso",
        "100%": "100%",
        "%E2%80%AEosi.exe": "\\u202eosi.exe",
        "%1B%5B31mred.iso": "\\u001b[31mred.iso",
        "\u202e.iso": "\\u202e.iso",
        "a%C3%BC%FF.iso": "a%C3%BC%FF.iso",
        "%C3%BC.iso": "ü.iso",
        "plain.iso": "plain.iso",
    }
    async with Origin({}, always=Status(404)) as origin:
        for number, path in enumerate(paths):
            url = origin.url("/") + path
            await screen.daemon.over(await screen.daemon.submit(url, f"{number:064x}"))
        await screen.log_in()
        names = screen.page.locator(".download .name")
        await expect(names).to_have_text([*reversed(paths.values())])
        for shown in await screen.page.locator(".download").all_inner_texts():
            assert not re.search("[\u202a-\u202e\u2066-\u2069\x1b]", shown)
        # Of a row that was there before, too.
        await screen.page.reload()
        await expect(names).to_have_text([*reversed(paths.values())])


async def test_a_row_or_a_slot_that_cannot_be_displayed_leaves_the_others_alone(screens) -> None:
    screen = await screens()
    good = {
        "bytes_downloaded": 5,
        "bytes_total": 10,
        "error": None,
        "info": None,
        "slot_id": None,
        "start_time": "not a time",
        "status": "cancelled",
        "url": "http://x/good.iso",
    }
    endless = {"url": "http://x/endless.iso", "bytes_total": float("inf")}
    bodies = [None, {}, good | {"url": 1}, good | endless, good]
    bodies.append(good | {"url": "http://x/better.iso"})
    items = [{"key": f"key {number}", "body": body} for number, body in enumerate(bodies)]
    event = f"id: a\nevent: snapshot\ndata: {json.dumps({'items': items})}\n\n"
    event = event.replace("Infinity", "1e999")

    async def serve_downloads(route: Route) -> None:
        await route.fulfill(body=event, content_type="text/event-stream")

    async def serve_slots(route: Route) -> None:
        slots = [{"key": "1", "body": None}, {"key": "2", "body": {}}]
        await route.fulfill(json={"items": slots})

    await screen.page.route("**/api/firmware/fetch", serve_downloads)
    await screen.page.route("**/api/firmware/slots", serve_slots)
    await screen.log_in()
    for name in ("good.iso", "better.iso"):
        await expect(screen.row(name)).to_have_attribute("data-status", "cancelled")
    for number in range(3):
        row = screen.row(f"key {number}")
        await expect(row.locator(".problem")).to_contain_text("cannot be displayed")
    await expect(screen.page.locator(".download")).to_have_count(len(bodies))
    slots = screen.page.locator(".slot")
    await expect(slots.nth(0)).to_contain_text("cannot be displayed")
    await expect(slots.nth(1)).to_contain_text("empty")


async def test_without_a_stream_to_spare_the_page_polls_and_says_so(screens, image: bytes) -> None:
    screen = await screens()
    page = screen.page
    await page.clock.install()
    await screen.log_in()
    banner = page.locator("#connection")
    await expect(banner).to_be_hidden()
    [cookie] = await page.context.cookies()
    headers = {"Cookie": f"{cookie['name']}={cookie['value']}"} | ACCEPT
    url = f"{screen.daemon.url}/api/firmware/fetch"
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0, ssl=False)
        jar = aiohttp.DummyCookieJar()
        client = await stack.enter_async_context(
            aiohttp.ClientSession(connector=connector, cookie_jar=jar)
        )
        await page.goto("about:blank")
        for _ in range(FollowerShares().session):
            response = await stack.enter_async_context(client.get(url, headers=headers))
            assert response.status == 200
        await page.goto(f"{screen.daemon.url}/")
        await expect(banner).to_contain_text("Live updates are not available: 32 are open")
        await expect(banner).to_contain_text("every 5 seconds")
        async with Origin({"/a.iso": image}) as origin:
            await screen.daemon.over(
                await screen.daemon.submit(origin.url("/a.iso"), digest(image))
            )
            await page.clock.run_for(6_000)
            await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")
        await expect(banner).to_contain_text("Live updates are not available")
    while await banner.is_visible():
        async with page.expect_response("**/api/firmware/fetch"):
            await page.clock.run_for(5_000)
    async with Origin({}, always=Status(404)) as origin:
        await screen.daemon.submit(origin.url("/live.iso"), "a" * 64)
        await expect(screen.row("live.iso")).to_have_attribute("data-status", "failed")


async def test_only_a_person_at_the_page_renews_the_session(screens) -> None:
    screen = await screens()
    page = screen.page
    uses: list[str] = []

    def record(request: Request) -> None:
        if "/api/" in request.url and "spsd-background" not in request.headers:
            uses.append(f"{request.method} {request.url.removeprefix(screen.daemon.url)}")

    await page.clock.install()
    await screen.log_in()
    page.on("request", record)
    # The list and the slots are requested again, and a stream is lost and opened again.
    await page.clock.run_for(180_000)
    await page.context.set_offline(True)
    await page.clock.run_for(61_000)
    await page.context.set_offline(False)
    await page.clock.run_for(10_000)
    await expect(page.locator("#connection")).to_be_hidden()
    assert uses == []
    heading = page.get_by_role("heading", name="Slots", exact=True)
    async with page.expect_response("**/api/info"):
        await heading.click()
    for _ in range(3):
        await heading.click()
        await page.keyboard.press("Shift")
    assert uses == ["GET /api/info"]
    await page.clock.run_for(61_000)
    async with page.expect_response("**/api/info"):
        await page.keyboard.press("Shift")
    assert uses == ["GET /api/info"] * 2


@pytest.mark.parametrize(
    ("elapsed_s", "reason"),
    [(1200, "the page was not used for 20:00"), (12 * 3600, "its log-in is too long ago")],
)
async def test_a_session_whose_page_is_open_ends_and_the_page_says_why(
    screens, tmp_path: Path, elapsed_s: int, reason: str
) -> None:
    screen = await screens()
    page, daemon, offset = screen.page, screen.daemon, tmp_path / "offset"
    await daemon.kill()
    set_clock(offset, 0)
    daemon.boot_id = "boot"
    daemon.environ = {CLOCK: str(offset)}
    await daemon.start()
    await page.clock.install()
    await screen.log_in()

    async def advance(seconds: int, by: int) -> None:
        set_clock(offset, by + seconds)
        await page.clock.fast_forward(seconds * 1000)

    elapsed = 0
    while elapsed + 1100 < elapsed_s:
        if elapsed_s > 1200:  # a person is at the page
            async with page.expect_response("**/api/info"):
                await page.keyboard.press("Shift")
        await advance(1100, elapsed)
        elapsed += 1100
    if elapsed_s > 1200:
        async with page.expect_response("**/api/info"):
            await page.keyboard.press("Shift")
    await advance(elapsed_s - elapsed, elapsed)
    await expect(page.locator("#log-in-form .problem")).to_contain_text(reason)
    await expect(page.get_by_role("heading", name="Downloads")).to_be_hidden()


async def test_use_by_keyboard(screens, image: bytes) -> None:
    screen = await screens()
    page = screen.page
    await page.goto(f"{screen.daemon.url}/")
    await expect(page.get_by_label("User")).to_be_focused()
    await page.keyboard.type(USER)
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Slots", exact=True)).to_be_visible()
    async with Origin({"/a.iso": image}) as origin:
        for _ in range(10):
            await page.keyboard.press("Tab")
            if await page.evaluate("document.activeElement.tagName") == "SUMMARY":
                break
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        await page.keyboard.type(origin.url("/a.iso"))
        await page.keyboard.press("Tab")
        await page.keyboard.type(digest(image))
        await page.keyboard.press("Enter")
        await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [320, 1200])
async def test_accessibility_and_width(
    screens: Screens,
    image: bytes,
    scheme: str,
    width: int,
    request: pytest.FixtureRequest,
) -> None:
    screen = await screens(color_scheme=scheme, viewport={"width": width, "height": 900})
    page = screen.page
    await page.goto(f"{screen.daemon.url}/")
    await expect(page.get_by_label("User")).to_be_visible()
    await check_accessibility(page)
    acts = [Whole(), Status(404), Hang(1_800_000)]
    names = ("appliance-2.iso", "appliance-3.iso", "appliance-4.iso")
    async with Origin({f"/{name}": image for name in names}, acts) as origin:
        finished = await screen.daemon.submit(origin.url("/appliance-2.iso"), digest(image))
        await screen.daemon.over(finished)
        failed = await screen.daemon.submit(origin.url("/appliance-3.iso"), "a" * 64)
        await screen.daemon.over(failed)
        await screen.daemon.submit(origin.url("/appliance-4.iso"), "b" * 64)
        await screen.log_in()
        await expect(screen.row("appliance-4.iso").locator(".amount")).to_contain_text("60 %")
        await screen.row("appliance-3.iso").get_by_text("History").click()
        await expect(screen.row("appliance-3.iso").locator(".history li").last).to_be_visible()
        await page.get_by_text("New download").click()
        await check_accessibility(page)
        scroll_width = await page.evaluate("document.documentElement.scrollWidth")
        assert scroll_width <= width
        if request.config.getoption("--pictures"):
            await page.get_by_text("New download").click()
            name = f"dashboard-{scheme}{'-phone' if width == 320 else ''}.png"
            await page.screenshot(path=PICTURES / name, full_page=width == 1200)
        await screen.row("appliance-4.iso").get_by_role("button", name="Cancel").click()
        await check_accessibility(page)


async def check_accessibility(page) -> None:
    """No serious or critical violation that axe finds."""
    violations = (await Axe().run(page)).response["violations"]
    serious = [item for item in violations if item["impact"] in ("serious", "critical")]
    assert [(item["id"], [node["html"] for node in item["nodes"]]) for item in serious] == []

"""The dashboard as people use it: a real browser, a real daemon, real downloads."""

import hashlib
import re
from pathlib import Path

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import expect

from spsd.testing.daemon import PASSWORD, USER
from spsd.testing.origin import Hang, Origin, Status, Whole
from testbed.driver import Daemon
from testbed.iso import build_iso
from tests.browser.conftest import PATIENCE_MS, PICTURES, Screens

expect.set_options(timeout=PATIENCE_MS)
SCHEMES = ["light", "dark"]


@pytest.fixture
def image(tmp_path: Path) -> bytes:
    return build_iso(tmp_path / "appliance-2.iso", size=3_000_000).read_bytes()


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def test_a_wrong_password_is_told_by_the_page_and_not_by_the_browser(screens) -> None:
    screen = await screens()
    await screen.page.goto(f"{screen.daemon.url}/")
    await screen.page.get_by_label("User").fill(USER)
    await screen.page.get_by_label("Password").fill("wrong")
    await screen.page.get_by_role("button", name="Log in").click()
    await expect(screen.page.locator("#log-in-form .problem")).to_contain_text("wrong")
    await screen.page.get_by_label("Password").fill(PASSWORD)
    await screen.page.keyboard.press("Enter")
    await expect(screen.page.get_by_role("heading", name="Downloads")).to_be_visible()


async def test_from_a_pasted_line_to_a_slot(screens, image: bytes) -> None:
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


async def test_what_is_no_digest_is_refused_before_it_is_sent(screens) -> None:
    screen = await screens()
    await screen.log_in()
    await screen.page.get_by_text("New download").click()
    await screen.page.get_by_label("URL of the image").fill("http://x.example/a.iso")
    await screen.page.get_by_label(re.compile("SHA-256")).fill("abc")
    await screen.page.get_by_role("button", name="Fetch").click()
    await expect(screen.page.locator("#new-form .problem")).to_contain_text("64 hexadecimal")


async def test_progress_and_a_cancel(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    async with Origin({"/appliance-2.iso": image}, [Hang(1_500_000)]) as origin:
        await screen.daemon.submit(origin.url("/appliance-2.iso"), digest(image))
        row = screen.row("appliance-2.iso")
        await expect(row.locator(".amount")).to_contain_text("50 % of 3.0 MB")
        assert await row.locator("progress").evaluate("one => one.value") == pytest.approx(0.5)
        await row.get_by_role("button", name="Cancel").click()
        await screen.page.get_by_role("button", name="Leave it").click()
        await expect(row).to_have_attribute("data-status", "in-progress")
        await row.get_by_role("button", name="Cancel").click()
        await screen.page.get_by_role("button", name="Cancel it").click()
        await expect(row).to_have_attribute("data-status", "cancelled")


async def test_a_failure_says_what_to_do(screens, image: bytes) -> None:
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
    await expect(page.locator("#upload-told")).to_contain_text("appliance-2.iso is in slot 1")
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
    await page.get_by_role("button", name="Empty it").click()
    await expect(page.locator("#told")).to_contain_text("runs after the next reboot")
    await expect(card.locator(".version")).to_have_text("2.5.0")


async def test_a_file_that_is_no_image(screens, tmp_path: Path) -> None:
    screen = await screens()
    await screen.log_in()
    (tmp_path / "text").write_bytes(b"no image" * 1000)
    await screen.page.get_by_label("Upload an image").set_input_files(tmp_path / "text")
    await screen.page.get_by_role("button", name="Upload", exact=True).click()
    await expect(screen.page.locator("#upload-form .problem")).to_contain_text("refused")


async def test_a_connection_that_is_lost_and_comes_back(screens, image: bytes) -> None:
    screen = await screens()
    await screen.log_in()
    port = int(screen.daemon.url.rpartition(":")[2])
    async with Origin({"/a.iso": image}, [Hang(1_000_000), Whole()]) as origin:
        await screen.daemon.submit(origin.url("/a.iso"), digest(image))
        await expect(screen.row("a.iso").locator(".amount")).to_contain_text("33 %")
        await screen.daemon.kill()
        await expect(screen.page.locator("#connection")).to_contain_text("does not answer")
        screen.daemon.server = {"port": port}
        screen.daemon.configure()
        await screen.daemon.start()
        await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")
        await expect(screen.page.locator("#connection")).to_be_hidden()


async def test_two_people_see_the_same(screens, image: bytes) -> None:
    one, other = await screens(), await screens()
    await one.log_in()
    await other.log_in()
    async with Origin({"/a.iso": image}) as origin:
        await one.page.get_by_text("New download").click()
        await one.page.get_by_label("URL of the image").fill(origin.url("/a.iso"))
        await one.page.get_by_label(re.compile("SHA-256")).fill(digest(image))
        await one.page.get_by_role("button", name="Fetch").click()
        for screen in (one, other):
            await expect(screen.row("a.iso")).to_have_attribute("data-status", "finished")
            await expect(screen.page.locator(".slot .version").first).to_have_text("2.5.0")
        await other.row("a.iso").get_by_role("button", name="Remove").click()
        await expect(one.row("a.iso")).to_have_count(0)


async def test_who_may_only_look_sees_no_buttons(screens, daemon: Daemon, image: bytes) -> None:
    await daemon.add_user("viewer", "viewer")
    async with Origin({"/a.iso": image}) as origin:
        await daemon.over(await daemon.submit(origin.url("/a.iso"), digest(image)))
    screen = await screens()
    await screen.log_in("viewer")
    await expect(screen.row("a.iso")).to_be_visible()
    buttons = screen.page.get_by_role("button").filter(visible=True)
    await expect(buttons).to_have_text(["Log out"])


async def test_a_log_out_and_a_session_that_ends(screens) -> None:
    screen, other = await screens(), await screens()
    await screen.log_in()
    await other.log_in()
    await screen.page.get_by_role("button", name="Log out").click()
    await expect(screen.page.get_by_role("heading", name="Log in")).to_be_visible()
    await other.page.context.clear_cookies()
    await other.page.get_by_text("New download").click()
    await other.page.get_by_label("URL of the image").fill("http://x.example/a.iso")
    await other.page.get_by_label(re.compile("SHA-256")).fill("a" * 64)
    await other.page.get_by_role("button", name="Fetch").click()
    await expect(other.page.locator("#log-in-form .problem")).to_contain_text("is over")


async def test_by_keyboard_alone(screens, image: bytes) -> None:
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
async def test_nothing_that_axe_finds_serious_and_nothing_too_wide(
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
    await accessible(page)
    acts = [Whole(), Status(404), Hang(1_800_000)]
    names = ("appliance-2.iso", "appliance-3.iso", "appliance-4.iso")
    async with Origin({f"/{name}": image for name in names}, acts) as origin:
        done = await screen.daemon.submit(origin.url("/appliance-2.iso"), digest(image))
        await screen.daemon.over(done)
        gone = await screen.daemon.submit(origin.url("/appliance-3.iso"), "a" * 64)
        await screen.daemon.over(gone)
        await screen.daemon.submit(origin.url("/appliance-4.iso"), "b" * 64)
        await screen.log_in()
        await expect(screen.row("appliance-4.iso").locator(".amount")).to_contain_text("60 %")
        await screen.row("appliance-3.iso").get_by_text("History").click()
        await expect(screen.row("appliance-3.iso").locator(".history li").last).to_be_visible()
        await page.get_by_text("New download").click()
        await accessible(page)
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        if request.config.getoption("--pictures"):
            await page.get_by_text("New download").click()
            name = f"dashboard-{scheme}{'-phone' if width == 320 else ''}.png"
            await page.screenshot(path=PICTURES / name, full_page=width == 1200)
        await screen.row("appliance-4.iso").get_by_role("button", name="Cancel").click()
        await accessible(page)


async def accessible(page) -> None:
    found = (await Axe().run(page)).response["violations"]
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in grave] == []

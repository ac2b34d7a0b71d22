"""Chromium and a daemon over TLS."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

from spsd.testing.daemon import PASSWORD, USER
from testbed import needs
from testbed.driver import Daemon, running

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TIMEOUT_MS = 20_000


@dataclass
class Screen:
    """One page, and the errors and warnings of its console."""

    page: Page
    daemon: Daemon
    console: list[str]

    async def log_in(self, user: str = USER) -> None:
        await self.page.goto(f"{self.daemon.url}/")
        await self.page.get_by_label("User").fill(user)
        await self.page.get_by_label("Password").fill(PASSWORD)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.get_by_role("heading", name="Slots", exact=True).wait_for()

    def row(self, name: str):
        return self.page.locator(".download", has_text=name)


Screens = Callable[..., Awaitable[Screen]]


@pytest.fixture
async def daemon(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with running(tmp_path, tls=True) as running_daemon:
        yield running_daemon


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    needs.now(needs.program("chromium"))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=needs.find_program("chromium"), args=ARGUMENTS
        )
        yield browser
        await browser.close()


@pytest.fixture
async def screens(browser: Browser, daemon: Daemon) -> AsyncIterator[Screens]:
    """Opens pages, each in its own browser context, as of another user; verifies their consoles."""
    opened: list[Screen] = []

    async def open_screen(**options: object) -> Screen:
        context = await browser.new_context(ignore_https_errors=True, **options)
        context.set_default_timeout(TIMEOUT_MS)
        page = await context.new_page()
        screen = Screen(page, daemon, [])

        def record(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                screen.console.append(message.text)

        page.on("console", record)
        page.on("pageerror", lambda error: screen.console.append(str(error)))
        opened.append(screen)
        return screen

    yield open_screen
    for screen in opened:
        violations = [text for text in screen.console if "Content Security Policy" in text]
        assert violations == []
        errors = [text for text in screen.console if "Failed to load resource" not in text]
        assert errors == []

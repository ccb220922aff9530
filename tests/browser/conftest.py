"""A real browser: the system's Chromium, without a screen."""

import pytest_asyncio
from playwright.async_api import async_playwright

from tests.support.programs import program

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium():
    """The browser, in which each test opens a context of its own.

    A machine without one skips, but not the machine that says what is good enough to land.
    """
    browser_here = program("chromium", "chromium-browser", "google-chrome")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=browser_here, args=FLAGS)
        yield browser
        await browser.close()

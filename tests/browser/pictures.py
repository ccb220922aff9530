"""Takes the pictures of the documentation from `mcfd demo --console`: `python -m tests.browser.pictures`."""

import asyncio
import re
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, async_playwright

from tests.browser.conftest import FLAGS

ROOT = Path(__file__).parents[2]
SIZE = {"width": 1280, "height": 860}
PATIENCE = 400.0


async def demo() -> tuple[asyncio.subprocess.Process, str, str]:
    """Start the demo; returns it with the console's address and token, once the shop is full."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "daemon", "demo", "--console"), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    said = ""
    async with asyncio.timeout(PATIENCE):
        while "Ctrl-C" not in said:
            line = await process.stdout.readline()
            assert line, f"the demo has ended: {said}"
            said += line.decode()
    address, token = re.search(r"Console +(\S+)", said), re.search(r"Token +(\S+)", said)
    assert address
    assert token
    return process, address[1], token[1]


async def interesting(page: Page, root: str) -> str:
    """A return that was inspected and has a story: the newest in review."""
    await page.goto(f"{root}returns?state=in_review")
    return str(await page.get_attribute(".rows a", "href"))


async def take(page: Page, name: str) -> None:
    """One picture, as the browser shows it."""
    await page.screenshot(path=ROOT / "docs" / f"{name}.png")


async def main() -> None:
    """Log in, and take one picture of a return and one of the overview."""
    process, root, token = await demo()
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
            page = await browser.new_page(viewport=SIZE)
            await page.goto(root)
            await page.fill("#name", "Ada")
            await page.fill("#token", token)
            await page.keyboard.press("Enter")
            await page.wait_for_selector("h1:has-text('Overview')")
            await page.locator("#weeks").scroll_into_view_if_needed()
            await page.evaluate("scrollTo(0, document.getElementById('weeks').offsetTop - 330)")
            await take(page, "console-overview")
            await page.goto(root.removesuffix("/console/") + await interesting(page, root))
            await take(page, "console")
            await browser.close()
    finally:
        process.terminate()
        await process.wait()


if __name__ == "__main__":
    asyncio.run(main())

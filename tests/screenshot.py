"""docs/review.png, the review page on the drawn sample: `python tests/screenshot.py`.

Nobody's picture is on it: the sample is drawn and cleaned in a folder of its own.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image
from support import browser
from support.repository import REPOSITORY

from whoswho import sample
from whoswho.reviewing import server
from whoswho.reviewing.page import Page

TARGET = REPOSITORY / "docs" / "review.png"
PORTRAITS = 12  # a label


def main() -> None:
    """Draw, clean, decide about two pictures, and take the picture."""
    with tempfile.TemporaryDirectory() as scratch:
        workspace = Path(scratch)
        for name in ("dvc.yaml", "params.yaml"):
            shutil.copy(REPOSITORY / name, workspace)
        sample.draw(workspace / "data", 0, PORTRAITS)
        subprocess.run(
            [sys.executable, REPOSITORY / "src" / "stage.py", "clean"], cwd=workspace, check=True
        )
        serving = server.listen(Page(workspace), "127.0.0.1", 0)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        content = picture(f"http://127.0.0.1:{serving.port}/")
        serving.shutdown()
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(TARGET, optimize=True)
    print(f"{TARGET.relative_to(REPOSITORY)}: {TARGET.stat().st_size / 1000:.0f} kB")


def picture(address: str) -> bytes:
    """A PNG of the page after a few keys."""
    from selenium.webdriver import ActionChains

    with browser.chromium(1200, 1040) as driver:
        driver.get(address)
        wait(driver, "document.fonts.size > 0")
        for key in (" ", "j", "c", "j"):
            ActionChains(driver).send_keys(key).perform()
        wait(driver, "document.getElementById('counts').textContent.includes('2 decided')")
        near = "[...document.images].filter(i => i.getBoundingClientRect().top < innerHeight)"
        wait(driver, f"{near}.every(i => i.complete)")
        driver.execute_async_script("document.fonts.ready.then(arguments[0])")
        content: bytes = driver.get_screenshot_as_png()
        return content


def wait(driver: Any, condition: str) -> None:
    """Until a condition holds on the page."""
    for _ in range(300):
        if driver.execute_script(f"return {condition}"):
            return
        time.sleep(0.1)
    raise SystemExit(f"the page did not get there: {condition}")


if __name__ == "__main__":
    main()

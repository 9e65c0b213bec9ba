"""Pages on the drawn sample as docs/ shows them: `python tests/screenshot.py review` or `serve`.

Nobody's picture is on them: the sample is drawn and worked on in a folder of its own.
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
from support.lifecycle_store import free_port
from support.repository import REPOSITORY
from support.serving import serving

from bench.workspace import copy_of_the_repository, environment
from whoswho import sample
from whoswho.artifacts.split import load_dataset
from whoswho.reviewing import server
from whoswho.reviewing.page import Page

PORTRAITS = 12  # a label
# A trained backbone that needs no network; its figures are docs/training.md's, not this picture's.
TRAINED = {"backbone": {"arch": "efficientnet_lite0"}}
STAGES = (
    *("clean", "preprocess", "backbone", "features", "suspects", "train", "evaluate"),
    *("report", "register"),
)


def main() -> None:
    """Take the picture of the page that is named."""
    (name,) = sys.argv[1:]
    target = REPOSITORY / "docs" / f"{name}.png"
    with tempfile.TemporaryDirectory() as scratch:
        content = {"review": review, "serve": serve}[name](Path(scratch))
    with Image.open(io.BytesIO(content)) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(REPOSITORY)}: {target.stat().st_size / 1000:.0f} kB")


def review(workspace: Path) -> bytes:
    """Draw, clean, decide about two pictures."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, workspace)
    sample.draw(workspace / "data", 0, PORTRAITS)
    subprocess.run(
        [sys.executable, REPOSITORY / "src" / "stage.py", "clean"], cwd=workspace, check=True
    )
    listening = server.listen(Page(workspace), "127.0.0.1", 0)
    threading.Thread(target=listening.serve_forever, daemon=True).start()
    content = picture(f"http://127.0.0.1:{listening.port}/")
    listening.shutdown()
    return content


def serve(scratch: Path) -> bytes:
    """Draw, train, promote, and ask about a test picture."""
    workspace = copy_of_the_repository(scratch, **TRAINED)
    sample.draw(workspace / "data", 0, 2 * PORTRAITS)
    whoswho = [sys.executable, "-m", "whoswho.cli"]
    commands = [[sys.executable, "src/stage.py", stage] for stage in STAGES]
    commands += [[*whoswho, "promote", "--force", "--why", "for its picture"]]
    for command in commands:
        subprocess.run(command, cwd=workspace, env=environment(workspace), check=True)
    dataset = load_dataset(workspace / "artifacts" / "dataset")
    file = workspace / "data" / dataset.examples["test"][0].file
    port = free_port()
    with (
        serving([*whoswho, "serve", "--port", str(port)], port, workspace) as address,
        browser.chromium(1120, 640) as driver,
    ):
        driver.get(f"{address}/")
        driver.find_element("id", "files").send_keys(str(file))
        wait(driver, "document.querySelectorAll('.why li img').length === 3")
        wait(driver, "[...document.images].every(i => i.complete)")
        driver.execute_async_script("document.fonts.ready.then(arguments[0])")
        content: bytes = driver.get_screenshot_as_png()
        return content


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

"""Many small pictures through clean, preprocess, features and the review page: time and memory.

`python -m bench.large --pictures 100000` (`make bench-large`) does each step for a quarter of the
pictures and for all of them: a step whose time is linear takes 4 times as long. The pictures are
drawn, 96 pixels wide, without faces; features are of a ResNet-18 and a tenth of the pictures.
`--only-clean` measures cleaning alone.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from bench.processes import Measured, measure, stage
from bench.workspace import PROGRAMS, commit, copy_of_the_repository, environment
from whoswho import paths
from whoswho.artifacts.decisions import KEPT, Decision, write_decisions
from whoswho.artifacts.model.settings import Face
from whoswho.workers import mapping

LABELS = 10
SIDE = 96
FRAMES = 100  # of a walk through the review page
REAL = 1000  # of the pictures there


def draw(folder: Path, count: int) -> None:
    """`count` different pictures of LABELS labels."""
    for number in range(LABELS):
        (folder / f"label {number}").mkdir(parents=True)
    for _ in mapping.each(partial(_draw_one, folder), range(count), "drawing"):
        pass


def _draw_one(folder: Path, number: int) -> None:
    """Shapes of every size, as photographs have them: the finer the fainter."""
    dice, total = np.random.default_rng(number), np.zeros((SIDE, SIDE), np.float32)
    for cells in (3, 6, 12, 24, 48, 96):
        noise = Image.fromarray(dice.normal(size=(cells, cells)).astype(np.float32))
        total += np.asarray(noise.resize((SIDE, SIDE), Image.Resampling.BICUBIC)) / cells**0.5
    grey = np.clip(128 + 50 * (total - total.mean()) / total.std(), 0, 255).astype(np.uint8)
    colour = Image.merge("RGB", [Image.fromarray(grey).point(lambda v, c=c: v * c // 100)
                                 for c in dice.integers(70, 100, 3)])  # fmt: skip
    colour.save(folder / f"label {number % LABELS}" / f"{number:06}.jpg", quality=85)


def size_of(folder: Path) -> int:
    """Bytes in the files below `folder`."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


Measurements = dict[str, Measured]


def filled(folder: Path, count: int, **changes: dict[str, object]) -> Path:
    """A workspace with `count` pictures that nobody looks for faces in."""
    workspace = copy_of_the_repository(folder, clean={"faces": "any"}, **changes)
    (workspace / "data.dvc").unlink()
    draw(workspace / "data", count)
    commit(workspace)
    return workspace


def pipeline(scratch: Path, count: int) -> tuple[Path, Measurements]:
    """A workspace whose pictures went through DVC, clean and preprocess."""
    whole = {"crop": "whole", "size": 64}
    workspace = filled(scratch / f"pictures{count}", count, picture=whole)
    dvc = PROGRAMS / "dvc"
    measured = {
        "dvc add data": measure(dvc, "add", "-q", "data", cwd=workspace),
        "dvc status data.dvc": measure(dvc, "status", "data.dvc", cwd=workspace),
    }
    cache = workspace / ".dvc" / "cache"
    print(f"a picture: {size_of(workspace / 'data') / count:.0f} bytes in data/, "
          f"{size_of(cache) / count:.0f} in DVC's cache", end="")  # fmt: skip
    shutil.rmtree(cache)
    measured |= {name: stage(name, workspace) for name in ("clean", "preprocess")}
    print(f", {size_of(workspace / 'artifacts' / 'clean') / count:.0f} cleaned, "
          f"{size_of(workspace / 'artifacts' / 'dataset') / count:.0f} prepared at 64 pixels "
          f"({count} pictures)", flush=True)  # fmt: skip
    return workspace, measured


def features(scratch: Path, count: int) -> Measurements:
    """The features of pictures of 224 pixels."""
    workspace = filled(
        scratch / f"features{count}", count,
        picture={"crop": "whole"}, augment={"views": 1},
        backbone={"arch": "resnet18", "weights": ["random"]},
    )  # fmt: skip
    for name in ("clean", "preprocess", "backbone"):
        stage(name, workspace)
    measured = stage("features", workspace)
    shutil.rmtree(workspace)
    return {"features": measured}


# --- The review page -----------------------------------------------------------------------------


@contextmanager
def reviewing(workspace: Path) -> Iterator[tuple[str, float, psutil.Process]]:
    """The page's address, seconds from the command until it answers, and its process."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = int(probe.getsockname()[1])
    start = time.perf_counter()
    server = subprocess.Popen(
        [sys.executable, "-m", "whoswho.cli", "review", "--port", str(port)],
        cwd=workspace, env=environment(workspace), stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        line = server.stdout.readline() if server.stdout else ""
        if not line:
            sys.exit("bench: whoswho review failed")
        yield line.split()[0], time.perf_counter() - start, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait()


def browser(profile: str) -> Any:
    """Chromium without a window; None where there is none."""
    binary = shutil.which("chromium") or shutil.which("chromium-browser")
    driver = shutil.which("chromedriver")
    if not binary or not driver:
        return None
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                 "--window-size=1200,900", f"--user-data-dir={profile}"):  # fmt: skip
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(driver))


SEEN = """
const done = arguments[0];
const look = () => {
  const image = document.querySelector('.card.current img');
  if (image?.complete && image.naturalWidth) done(performance.now());
  else setTimeout(look, 10);
};
look();
"""
WALK = """
const [frames, done] = arguments, times = [];
let last = performance.now();
const step = () => {
  const now = performance.now();
  times.push(now - last);
  last = now;
  if (times.length > frames) return done(times.slice(1));
  window.scrollBy(0, innerHeight / 3);
  requestAnimationFrame(step);
};
requestAnimationFrame(step);
"""


def decided(workspace: Path, count: int) -> None:
    """The table that clean leaves of so many pictures, of which the first REAL are there."""
    draw(workspace / "data", REAL)
    rows = []
    for number in range(count):
        label, name = f"label {number % LABELS}", f"{number:06}.jpg"
        file = workspace / "data" / label / name
        digest = paths.sha256(file) if number < REAL else f"{number:064x}"
        rows.append(
            Decision(
                f"{label}/{name}", label, decision=KEPT, sha256=digest, group=digest,
                width=SIDE, height=SIDE, format="JPEG", faces=1, main_face=Face(9, 9, 80, 80, 1.0),
                scores={"too_dark": 100.5, "blurry": 300.25, "no_face": 1.0, "several_faces": 0.0},
                picture=f"{label}/{name}",
            )
        )  # fmt: skip
    write_decisions(workspace / paths.CLEAN, sorted(rows, key=lambda row: row.file))


def review(scratch: Path, count: int) -> str:
    """What a person waits for on the review page, in a sentence."""
    workspace = copy_of_the_repository(scratch / "review")
    decided(workspace, count)
    with tempfile.TemporaryDirectory() as profile:
        driver = browser(profile)
        if driver is None:
            return "review: not measured; it needs chromium and chromium-driver"
        try:
            with reviewing(workspace) as (address, started, process):
                driver.get(address)
                opened = driver.execute_async_script(SEEN) / 1000
                frames = sorted(driver.execute_async_script(WALK, FRAMES))
                nodes = driver.execute_script("return document.querySelectorAll('*').length")
                memory = process.memory_info().rss / 1e6
        finally:
            driver.quit()
    return (
        f"review: {started:.1f} s until the server answers, {memory:.0f} MB; the page shows its "
        f"first picture after {opened:.2f} s; scrolling, a frame takes {frames[FRAMES // 2]:.0f} "
        f"ms, one in 20 more than {frames[FRAMES * 95 // 100]:.0f}; {nodes} elements ({count} "
        "pictures)"
    )


# --- All of it -----------------------------------------------------------------------------------


def compare(few: int, many: int, less: Measurements, more: Measurements) -> None:
    """Print what both numbers of pictures took."""
    for name, all_of_them in more.items():
        seconds = [measured[name].seconds for measured in (less, more)]
        processor = [measured[name].processor for measured in (less, more)]
        print(
            f"{name}: {seconds[0]:.1f} s for {few} pictures, {seconds[1]:.1f} s for {many}; of a "
            f"processor {processor[0]:.1f} and {processor[1]:.1f} s, "
            f"{processor[1] / processor[0]:.2f} times as much, "
            f"{1000 * processor[1] / many:.2f} ms a picture; the largest process "
            f"{less[name].peak_mb:.0f} and {all_of_them.peak_mb:.0f} MB",
            flush=True,
        )


def clean(scratch: Path, count: int) -> Measurements:
    """What cleaning alone takes, without DVC."""
    workspace = filled(scratch / f"clean{count}", count)
    measured = {"clean": stage("clean", workspace)}
    shutil.rmtree(workspace)
    return measured


def large(scratch: Path, pictures: int) -> None:
    """Measure and print every step."""
    few, many = pictures // 4, pictures
    print(review(scratch, pictures), flush=True)
    workspace, less = pipeline(scratch, few)
    shutil.rmtree(workspace)
    workspace, more = pipeline(scratch, many)
    compare(few, many, less, more)
    shutil.rmtree(workspace)
    compare(few // 10, many // 10, features(scratch, few // 10), features(scratch, many // 10))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=__doc__)
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--only-clean", action="store_true", help="leave out the other steps")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="whoswho-large-") as folder:
        if arguments.only_clean:
            numbers = arguments.pictures // 4, arguments.pictures
            compare(*numbers, *(clean(Path(folder), number) for number in numbers))
        else:
            large(Path(folder), arguments.pictures)

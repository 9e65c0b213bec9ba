"""A real Chrome of our own: found, started with an empty profile, and gone when we are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import psutil
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.chromium.service import ChromiumService
from urllib3.exceptions import HTTPError

from whoswho.crawl.site import CrawlOptions, SiteError
from whoswho.errors import one_line

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ELSEWHERE = (  # where installers put it without naming it in PATH
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
)
BROWSER_VARIABLE = "CHROME_BIN"
DRIVER_VARIABLE = "SE_CHROMEDRIVER"  # selenium's own
CURE = (
    "install both from one place (Debian, Ubuntu: apt-get install chromium chromium-driver), or "
    f"name a pair that fits in {BROWSER_VARIABLE} and {DRIVER_VARIABLE}"
)
# The last: a Chrome on a pipe ends with the driver that holds the other end, however that ended.
FLAGS = """
--no-first-run --no-default-browser-check --disable-background-networking
--disable-component-update --disable-default-apps --disable-extensions --disable-sync
--disable-gpu --disable-quic --mute-audio --window-size=1280,1600
--remote-debugging-pipe
"""
# Hosts a page from outside has no business with: ours and our network's.
PRIVATE = """
localhost *.localhost 127.* 0.0.0.0 10.* 192.168.* 169.254.* [::1] [fc* [fd* [fe80*
172.16.* 172.17.* 172.18.* 172.19.* 172.20.* 172.21.* 172.22.* 172.23.*
172.24.* 172.25.* 172.26.* 172.27.* 172.28.* 172.29.* 172.30.* 172.31.*
"""

NO_DIALOGS = "window.alert = window.confirm = window.prompt = () => null;"

# The driver's port is free when it is chosen, and must still be so when the driver takes it.
_ONE_AT_A_TIME = threading.Lock()

# Runs the driver, and ends it and removes the profile when our end of its standard input closes:
# so nothing of the browser is left even by a kill -9.
WATCHED = """
profile=$1; shift
exec 3<&0
( cat <&3; kill $$; sleep 1; rm -rf -- "$profile" ) >/dev/null 2>&1 &
exec 3<&- </dev/null "$@"
"""


def programs() -> tuple[str, str, str]:
    """The browser and the driver of this machine, and how a message calls the pair.

    Nothing is downloaded; selenium would try to.

    Raises:
        SiteError: one is not there, or their major versions differ.
    """
    browsers = map(shutil.which, (*BROWSERS, *ELSEWHERE))
    browser = os.environ.get(BROWSER_VARIABLE) or next(filter(None, browsers), None)
    driver = os.environ.get(DRIVER_VARIABLE) or shutil.which("chromedriver")
    for path, what in ((browser, "Chrome or Chromium"), (driver, "chromedriver")):
        if not path or not shutil.which(path):
            where = f"not at {path}" if path else "none in PATH"
            raise SiteError(f"no {what} ({where}); {CURE}")
    assert browser is not None
    assert driver is not None
    # On Windows chrome.exe answers no --version: it opens a window.
    versions = "" if sys.platform == "win32" else _version(browser), _version(driver)
    told = [version or "of unknown version" for version in versions]
    pair = f"Chrome {told[0]} ({browser}) and ChromeDriver {told[1]} ({driver})"
    if len({version.split(".")[0] for version in versions if version}) > 1:
        raise SiteError(f"{pair} do not fit, their major versions differ; {CURE}")
    return browser, driver, pair


def _version(program: str) -> str:
    """What `program --version` tells, as 156.0.8078.108; '' where it tells nothing like it."""
    command, quiet = [program, "--version"], subprocess.DEVNULL
    try:
        output = subprocess.run(
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet, timeout=20, check=False
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    match = re.search(rb"\d+(\.\d+){3}", output)
    return match[0].decode() if match else ""


@dataclass(frozen=True)
class Browser:
    """A running Chrome: what drives it, its processes, and where it keeps what it learns."""

    driver: webdriver.Chrome
    family: list[psutil.Process]
    profile: tempfile.TemporaryDirectory[str]

    def close(self) -> None:
        """End the browser and the driver, whatever state they are in, and remove the profile."""
        with suppress(WebDriverException, HTTPError, OSError):  # a dead one says no goodbye
            # The browser's goodbye alone: the driver's own takes a second, and knows no more.
            webdriver.Remote.quit(self.driver)
        _end(self.driver.service, self.family)
        self.profile.cleanup()


def start(options: CrawlOptions, proxy: str | None, timeout: float) -> Browser:
    """Start a Chrome that nobody else uses.

    Args:
        options: whether it shows a window, and whether its pages may reach this machine and its
            network; with a proxy, what they reach is the proxy's to decide.
        proxy: for everything it asks for, as http://host:port.
        timeout: seconds a page may take to answer.

    Raises:
        SiteError: no browser, no driver, versions that do not fit, or it does not start.
    """
    if options.window and sys.platform == "linux":
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise SiteError("--window needs a screen, and there is none; leave --window away")
    browser, chromedriver, pair = programs()
    profile = tempfile.TemporaryDirectory(prefix="whoswho-browser-", ignore_cleanup_errors=True)
    settings = _chrome_options(options, proxy, browser, profile.name)
    service: Service | None = None
    try:
        with _ONE_AT_A_TIME:
            service = _WatchedService(chromedriver, profile.name)
            driver = webdriver.Chrome(options=settings, service=service)
        driver.set_page_load_timeout(timeout)
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_DIALOGS})
        return Browser(driver, _family(service), profile)
    except BaseException as error:
        if service is not None:
            _end(service, _family(service))
        profile.cleanup()
        if not isinstance(error, (WebDriverException, HTTPError, OSError)):
            raise
        raise SiteError(f"{pair} did not start: {first_line(error)}; {CURE}") from None


def first_line(error: Exception) -> str:
    """What an error of the driver says, without its stack."""
    text = str(getattr(error, "msg", None) or error).strip()
    return one_line(text.splitlines()[0] if text else error)


def _chrome_options(
    options: CrawlOptions, proxy: str | None, binary: str, profile: str
) -> webdriver.ChromeOptions:
    chrome = webdriver.ChromeOptions()
    chrome.binary_location = binary
    # Ready with the page's text: a picture that never comes must not hold the page up.
    chrome.page_load_strategy = "eager"
    flags = [*FLAGS.split(), f"--user-data-dir={profile}"]
    if not options.window:
        flags.append("--headless=new")
    if sys.platform == "linux":
        flags.append("--disable-dev-shm-usage")  # a container's is too small
        if os.geteuid() == 0:
            flags.append("--no-sandbox")  # Chrome as root starts no other way
    if proxy:
        flags += [f"--proxy-server={proxy}", "--proxy-bypass-list=<-loopback>"]
    elif not options.allow_private:  # through a proxy it is the proxy that finds the hosts
        rules = ", ".join(f"MAP {host} ~NOTFOUND" for host in PRIVATE.split())
        flags.append(f"--host-resolver-rules={rules}")
    for flag in flags:
        chrome.add_argument(flag)
    chrome.add_experimental_option("prefs", {"download_restrictions": 3})  # 3: none at all
    return chrome


class _WatchedService(Service):
    """chromedriver, ended by a watcher where this process could not end it.

    It leads a session of its own: a Ctrl-C at the terminal is for us, who then close it.
    """

    def __init__(self, driver: str, profile: str) -> None:
        self._before: list[str] = []
        if os.name == "posix":
            self._before = ["-c", WATCHED, "sh", profile, driver]
        super().__init__(
            "/bin/sh" if self._before else driver, popen_kw={"start_new_session": True}
        )
        self.DRIVER_PATH_ENV_KEY = None  # its value is already in `driver`

    def command_line_args(self) -> list[str]:
        return [*self._before, *super().command_line_args()]


def _family(service: ChromiumService) -> list[psutil.Process]:
    """The driver and everything it started."""
    process: subprocess.Popen[bytes] | None = getattr(service, "process", None)
    if process is None or process.poll() is not None:
        return []
    try:
        driver = psutil.Process(process.pid)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(service: ChromiumService, family: list[psutil.Process]) -> None:
    """Kill a driver and what it started, and close our end of its pipes."""
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    deadline = time.monotonic() + 5
    while any(map(_runs, family)) and time.monotonic() < deadline:
        time.sleep(0.01)
    if (driver := getattr(service, "process", None)) is not None:
        driver.wait(timeout=60)
        service.stop()


def _runs(process: psutil.Process) -> bool:
    """Whether it still does anything; a dead one whose parent has not looked yet does not."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False

# SPDX-License-Identifier: MIT
"""Headless Chromium for the tests of the report."""

import io
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from numpy.typing import NDArray
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

READY_LIMIT_S = 400
CHROMIUM = Path("/usr/bin/chromium")
needs_chromium = pytest.mark.skipif(
    not CHROMIUM.exists() and platform.freedesktop_os_release()["ID"] == "ubuntu",
    reason="Ubuntu has Chromium only as a snap",
)


@contextmanager
def chromium() -> Iterator[webdriver.Chrome]:
    """A browser without network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for each in (
        *("headless=new", "no-sandbox", "disable-gpu", "no-first-run", "hide-scrollbars"),
        *("disable-background-networking", "disable-component-update", "disable-sync"),
        # Offline, also for the browser's own business.
        *("host-resolver-rules=MAP * ~NOTFOUND", "window-size=1400,1000"),
    ):
        options.add_argument(f"--{each}")
    browser = webdriver.Chrome(options=options, service=Service("/usr/bin/chromedriver"))
    try:
        yield browser
    finally:
        browser.quit()


def opened(browser: webdriver.Chrome, address: str) -> float:
    """Opens a report and waits until all is drawn.

    Returns:
        What it took, in seconds of processor time of all the page's threads: whatever else the host
        does is not the page's fault.
    """
    browser.get("about:blank")
    browser.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
    browser.get(address)
    WebDriverWait(browser, READY_LIMIT_S, poll_frequency=0.05).until(
        lambda chrome: chrome.execute_script("return document.body.dataset.ready")
    )
    metrics = browser.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    browser.execute_cdp_cmd("Performance.disable", {})
    return next(float(each["value"]) for each in metrics if each["name"] == "ProcessTime")


def rows(browser: webdriver.Chrome) -> list[str]:
    """Names of the timeline's rows, from the top."""
    found: list[str] = browser.execute_script("return document.body.dataset.rows.split('|')")
    return found


def screenshot(browser: webdriver.Chrome) -> NDArray[np.float64]:
    """What is visible; float[height, width, 3], 0 to 1."""
    picture = matplotlib.image.imread(io.BytesIO(browser.get_screenshot_as_png()))
    return np.asarray(picture[:, :, :3], np.float64)


def shows(picture: NDArray[np.float64], color: str, *, pixels: int = 100) -> bool:
    """Whether so many pixels have that color, "#rrggbb"."""
    wanted = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return int((np.abs(picture - wanted).max(axis=2) < 1.5 / 255).sum()) >= pixels

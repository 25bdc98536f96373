# SPDX-License-Identifier: MIT
"""The report in headless Chromium: what is seen, how it is used, how fast it opens."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browsing import READY_LIMIT_S, chromium, needs_chromium, opened, rows, screenshot, shows
from pace import slowness
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from timelines import (
    RTOS_TASKS,
    START_NS,
    TICK_NS,
    Builder,
    dual_timeline,
    repeated,
    without_events,
)

from orchestrator import export
from orchestrator.export import report_data
from orchestrator.trace.timeline import ClockFit, Source, Task, Timeline

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    return dual_timeline(20)


@pytest.fixture(scope="module")
def page(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    export.write(timeline, "report", path)
    return path.as_uri()


def visible(browser: webdriver.Chrome) -> str:
    return browser.find_element(By.ID, "visible").text


def until_not(browser: webdriver.Chrome, span: str) -> None:
    """Waits for the next picture: the page draws once a frame."""
    WebDriverWait(browser, READY_LIMIT_S, poll_frequency=0.02).until(
        lambda chrome: visible(chrome) != span
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_screenshot_shows_the_tasks_of_both_guests(
    theme: str, browser: webdriver.Chrome, page: str, timeline: Timeline
) -> None:
    until = START_NS + 2 * TICK_NS
    opened(browser, f"{page}#theme={theme}&from={START_NS}&to={until}")
    picture = screenshot(browser)
    shown = {401, 402, *RTOS_TASKS}  # those that run in these 8 ms
    tasks = [task for task in report_data.make_report(timeline).tasks if task.pid in shown]
    assert len(tasks) == len(shown)
    assert [task.name for task in tasks if not shows(picture, task.color)] == []
    assert (float(picture[5, 5].mean()) < 0.5) == (theme == "dark")


def test_there_is_a_row_for_every_core_and_task(browser: webdriver.Chrome, page: str) -> None:
    opened(browser, page)
    found = rows(browser)
    assert found[:4] == ["CPU0", "CPU1", "hypervisor, CPU0", "hypervisor, CPU1"]
    assert found[4:7] == ["interrupts, CPU0", "wake-ups, CPU0", "wake-ups, CPU1"]
    assert sorted(found[7:11]) == [
        "hackbench (401)",
        "hackbench (401/402)",
        "kworker/0:1 (55)",
        "rcu_sched (15)",
    ]
    assert found[11:] == [f"{comm} ({pid})" for pid, comm in RTOS_TASKS.items()]


def test_zooming_by_drag_and_button_and_back(browser: webdriver.Chrome, page: str) -> None:
    opened(browser, page)
    whole = visible(browser)
    canvas = browser.find_element(By.CSS_SELECTOR, "#timeline canvas")
    webdriver.ActionChains(browser).move_to_element(canvas).click_and_hold().move_by_offset(
        100, 0
    ).release().perform()
    until_not(browser, whole)
    span_ns = browser.execute_script("return charts[0].scales.x.max - charts[0].scales.x.min")
    left, right = browser.execute_script("const a = charts[0].chartArea; return [a.left, a.right]")
    assert span_ns == pytest.approx(float(whole.split()[0]) * 1e6 * 100 / (right - left), rel=0.02)
    zoomed = visible(browser)
    browser.find_element(By.CSS_SELECTOR, '[data-move="zoom-in"]').click()
    until_not(browser, zoomed)
    closer = visible(browser)
    browser.find_element(By.CSS_SELECTOR, '[data-move="all"]').click()
    until_not(browser, closer)
    assert visible(browser) == whole


def test_pointing_at_a_run_tells_whose_and_how_long(browser: webdriver.Chrome, page: str) -> None:
    opened(browser, f"{page}#from={START_NS}&to={START_NS + 10_000_000}")
    canvas = browser.find_element(By.CSS_SELECTOR, "#timeline canvas")
    # RTOS-Task4 runs from 3.5 ms to 7.5 ms, its row is the last one.
    box = browser.execute_script(
        "const a = charts[0].chartArea; return [(a.left + a.right) / 2, a.bottom - 10]"
    )
    webdriver.ActionChains(browser).move_to_element_with_offset(
        canvas,
        int(box[0]) - canvas.size["width"] // 2,
        int(box[1]) - canvas.size["height"] // 2,
    ).perform()
    WebDriverWait(browser, READY_LIMIT_S).until(
        lambda chrome: chrome.find_element(By.ID, "tip").text
    )
    lines = browser.find_element(By.ID, "tip").text.splitlines()
    assert lines[:3] == ["RTOS-Task4", "rtos, core 1", "for 4 ms"]


def test_of_many_tasks_the_busiest_are_shown_first(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    linux = Source(name="linux", kind="linux", clock=ClockFit(clock="local"), cores=(0,))
    tasks = {pid: Task(pid=pid, comm=f"task{pid}", source=0) for pid in range(100, 140)}
    builder = Builder(sources=(linux,), tasks=tasks)
    at = 0
    for pid in tasks:
        builder.add(at, 0, 0, "sched_switch", prev_pid=pid - 1 if at else 0, next_pid=pid)
        at += 10 * pid
    builder.add(at, 0, 0, "sched_switch", prev_pid=139, next_pid=0)
    export.write(builder.timeline(), "report", tmp_path / "report.html")
    opened(browser, (tmp_path / "report.html").as_uri())
    assert rows(browser)[2:] == [f"task{pid} ({pid})" for pid in range(139, 115, -1)]
    more = browser.find_element(By.ID, "more")
    assert more.text == "16 more tasks"
    more.click()
    assert more.text == "fewer tasks"


def test_the_page_needs_no_network_and_makes_no_mistakes(
    browser: webdriver.Chrome, page: str
) -> None:
    browser.get_log("browser")  # type: ignore[no-untyped-call] # what earlier pages have logged
    opened(browser, page)
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call] # as above
    loaded = browser.execute_script(
        "return performance.getEntriesByType('resource').map((each) => each.name)"
    )
    assert loaded == []


def test_a_million_events_open_in_three_seconds_and_twenty_megabytes(
    browser: webdriver.Chrome, tmp_path: Path
) -> None:
    timeline = dual_timeline(50)
    big = repeated(timeline, -(-1_000_000 // len(timeline)))
    # Irregular times, as real ones are: regular ones would be compressed to nothing.
    gaps = np.random.default_rng(1).integers(100, 40_000, len(big)).astype(np.uint64)
    path = tmp_path / "report.html"
    export.write(replace(big, time_ns=np.cumsum(gaps)), "report", path)
    assert path.stat().st_size < 20e6
    assert 0 < opened(browser, path.as_uri()) < 3 * slowness()
    assert {"hackbench (401)", "RTOS-Task4 (65540)"} <= {*rows(browser)}


def test_a_run_without_events_opens_too(browser: webdriver.Chrome, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    export.write(without_events(dual_timeline(1)), "report", path)
    opened(browser, path.as_uri())
    assert rows(browser) == ["CPU0", "CPU1"]
    assert "No task switch was traced." in browser.page_source

"""The report in a browser without a screen, on a wide and on a narrow page."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

from tests.components.run_report.page_test import make_summary, render

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt-get install chromium")

# A frame has the width that is asked for, which a window of a browser need not have.
_FRAME = """<!DOCTYPE html><html><head><meta charset="utf-8"></head><body style="margin:0">
<iframe id="page" style="border:0;width:{width}px;height:900px" srcdoc="{page}"></iframe>
<pre id="measured"></pre>
<script>
window.addEventListener("load", () => {{
  const page = document.getElementById("page").contentDocument, root = page.documentElement;
  const wide = [...page.body.querySelectorAll("*")].filter((one) => {{
    if (one.closest("table, .figure, pre") && !one.matches("table, .figure, pre")) return false;
    return one.getBoundingClientRect().right > root.clientWidth + 1;
  }});
  const brightness = (colour) => colour.match(/[0-9.]+/g).slice(0, 3).map((value) => value / 255)
    .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, place) => sum + value * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = (one) => {{
    for (; one; one = one.parentElement) {{
      const colour = page.defaultView.getComputedStyle(one).backgroundColor;
      if (!/, 0\\)|transparent/.test(colour)) return brightness(colour);
    }}
    return 1;
  }};
  const pale = [...page.body.querySelectorAll("p, td, th, h1, h2, h3, b, li, summary")].filter((one) => {{
    const two = [brightness(page.defaultView.getComputedStyle(one).color), ground(one)].sort();
    return (two[1] + 0.05) / (two[0] + 0.05) < 4.5;
  }});
  document.getElementById("measured").textContent = JSON.stringify({{
    width: root.clientWidth, scrolls_to: root.scrollWidth, wide: wide.map((one) => one.outerHTML.slice(0, 80)),
    pale: pale.map((one) => one.outerHTML.slice(0, 80)), font: page.defaultView.getComputedStyle(page.body).fontSize,
    height: root.scrollHeight, scripts: page.scripts.length,
  }});
}});
</script></body></html>"""


def measured(page, width, folder):
    """What a browser makes of the page at a width, and what its console says."""
    file = folder / "frame.html"
    file.write_text(_FRAME.format(width=width, page=html.escape(page)), encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
    flags.append("--enable-logging=stderr")
    told = subprocess.run(
        [CHROMIUM, *flags, f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", file],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = [line for line in told.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(re.search(r'<pre id="measured">(.*?)</pre>', told.stdout, re.DOTALL)[1])), console


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_leaves_the_page_and_everything_can_be_read(width, tmp_path):
    summary = make_summary()
    # What people's names and paths may be.
    summary["made"]["name"] = "n" * 200
    summary["pushed"]["destination"] = "/a/very/long/path" * 20
    summary["evaluation"]["gate"]["reasons"] = ["r" * 300]
    found, console = measured(render(summary), width, tmp_path)
    assert found["width"] == width and found["height"] > 1000
    assert found["scrolls_to"] <= width and found["wide"] == []
    assert found["pale"] == [] and found["font"] == "15px" and found["scripts"] == 0
    assert console == []


def test_the_measure_sees_what_is_wrong(tmp_path):
    page = '<p style="width: 900px; color: #ccc">wide and pale</p><script>console.error("seen")</script>'
    found, console = measured(f"<!DOCTYPE html><html><body>{page}</body></html>", 390, tmp_path)
    assert found["scrolls_to"] > 390 and found["wide"] and found["pale"] and "seen" in console[0]

# SPDX-License-Identifier: MIT
"""`report.html`: one file that opens offline and shows the whole run.

The page's parts are in the folder `page`, its numbers come from `report_data`, its tables from
`report_tables`. The charts are drawn by Chart.js (MIT), which is put into the file; it comes from
Debian's package libjs-chart.js: no Python package brings it, and those that bring another library
bring ten times its size. The timeline is drawn by page/timeline.js between Chart.js's axes.
"""

import base64
import gzip
import json
import re
from importlib import resources
from pathlib import Path
from typing import Final

from orchestrator.errors import MissingToolError
from orchestrator.export import FORMATS, report_tables
from orchestrator.export.report_data import Report, make_report
from orchestrator.trace.timeline import Timeline

CHART_JS: Final = Path(FORMATS["report"].needs)
_SCRIPTS: Final = ("common.js", "timeline.js", "charts.js", "main.js")


def write(timeline: Timeline, path: Path) -> None:
    """Writes the page.

    Raises:
        MissingToolError: Chart.js is not on this machine.
        OSError: The file cannot be written.
    """
    try:
        library = CHART_JS.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MissingToolError(
            f"{CHART_JS} is not there, the report draws its charts with it; "
            "install it with: apt-get install libjs-chart.js"
        ) from None
    report = make_report(timeline)
    scripts = "\n".join(_part(name) for name in _SCRIPTS)
    data = json.dumps(report.document, separators=(",", ":"), sort_keys=True)
    parts = {
        "style": _part("style.css"),
        # "</script" in a script's text would end it early.
        "library": library.replace("</script", "<\\/script"),
        "scripts": scripts.replace("</script", "<\\/script"),
        # Names in it are the guests': none may be taken for the page's own text.
        "data": data.replace("<", r"\u003c"),
        "columns": _packed(report),
        **report_tables.parts(timeline, report),
    }
    page = re.sub(r"{{(\w+)}}", lambda mark: parts[mark[1]], _part("page.html"))
    path.write_text(page, encoding="utf-8", newline="\n")


def _part(name: str) -> str:
    return (resources.files(__package__) / "page" / name).read_text(encoding="utf-8")


def _packed(report: Report) -> str:
    """All columns behind one another, compressed; the document says where each lies."""
    content = b"".join(column.tobytes() for column in report.columns.values())
    return base64.b64encode(gzip.compress(content, compresslevel=6, mtime=0)).decode()

"""A page in headless Chromium: what a script finds in it, and what it looks like on paper."""

import html
import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--enable-logging=stderr", "--virtual-time-budget=4000",
)  # fmt: skip
_COLLECT = "<script>var errors=[];addEventListener('error',e=>errors.push(e.message));</script>"


def find_browser() -> str | None:
    """The path of a Chromium; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Browser:
    """Runs pages.

    Attributes:
        path: of Chromium.
        folder: for pages and the browser's own files.
    """

    path: str
    folder: Path

    def look(self, page: str, script: str, *, width: int = 1280, dark: bool = False) -> Any:
        """What the script's last expression gives in the page, as JSON; fails on errors of the page's own.

        Args:
            page: HTML.
            script: the body of a function that returns something JSON can hold; `frame` is the page's
                window, `document` its document.
            width: of the window, in CSS pixels; the page stands in a frame, as windows are no narrower
                than 500.
            dark: whether the reader prefers a dark page.
        """
        held = page.replace("<head>", f"<head>{_COLLECT}", 1)
        read = (
            "const inner=document.getElementById('page'),frame=inner.contentWindow;"
            f"const found=(document=>{{{script}}})(frame.document);"
            "const out=document.createElement('pre');out.id='found';"
            "out.textContent=JSON.stringify({found,errors:frame.errors});document.body.append(out);"
        )
        outer = (
            '<!doctype html><meta charset="utf-8"><body style="margin:0">'
            f'<iframe id="page" style="border:0;width:{width}px;height:900px" srcdoc="{html.escape(held)}">'
            f"</iframe><script>addEventListener('load',()=>{{{read}}});</script></body>"
        )
        scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
        done = self._run(outer, "--dump-dom", f"--window-size={max(width, 500)},900", *scheme)
        assert "CONSOLE" not in done.stderr, done.stderr
        answer = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
        assert answer is not None, done.stdout[-2000:] + done.stderr[-2000:]
        content = json.loads(html.unescape(answer.group(1)))
        assert content["errors"] == []
        return content["found"]

    def picture(self, page: str, name: str = "page.png", *, dark: bool = False) -> Path:
        """A screenshot."""
        scheme = ("--blink-settings=preferredColorScheme=0",) if dark else ()
        file = self.folder / name
        self._run(page, f"--screenshot={file}", "--window-size=1280,900", *scheme)
        return file

    def printed(self, page: str) -> Path:
        """The page on paper, as PDF."""
        file = self.folder / "page.pdf"
        self._run(page, f"--print-to-pdf={file}", "--no-pdf-header-footer")
        return file

    def _run(self, page: str, *options: str) -> "subprocess.CompletedProcess[str]":
        file = self.folder / "page.html"
        file.write_text(page, encoding="utf-8")
        return subprocess.run(
            [self.path, *_FLAGS, f"--user-data-dir={self.folder / 'profile'}", *options, file.as_uri()],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )

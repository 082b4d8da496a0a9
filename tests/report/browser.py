"""A browser without a window, as a reader's: what a page says, does and complains of in it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")
NPM = shutil.which("npm")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
_PROBE = """
<script type="module">
const until = async (ready) => { for (let i = 0; i < 600 && !ready(); i += 1) await new Promise((done) => setTimeout(done, 50)); };
await until(() => document.documentElement.dataset.drawn === "yes");
let found;
try { found = await (async () => { %s })(); } catch (error) { found = { error: String(error.stack) }; }
const place = document.createElement("script");
place.type = "application/json"; place.id = "found"; place.textContent = JSON.stringify(found).replaceAll("<", "\\\\u003c");
document.body.append(place);
</script>"""  # noqa: E501  # a script


def opened(page: str, folder: Path) -> tuple[str, list[str]]:
    """Give the page as it is once its scripts are through, and what its console says."""
    assert CHROMIUM is not None
    (folder / "page.html").write_text(page)
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--hide-scrollbars",
        "--dump-dom",
    ]
    command += ["--virtual-time-budget=60000", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--user-data-dir={folder / 'profile'}", "--enable-logging=stderr"]
    done = subprocess.run(
        [*command, (folder / "page.html").as_uri()],
        check=True,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.stdout, re.findall(r".*CONSOLE.*", done.stderr)


def asked(page: str, script: str, folder: Path) -> tuple[Any, list[str]]:
    """Give what a script, run once all is drawn, returns; and what the console says."""
    head, end, rest = page.rpartition("</body>")
    dom, console = opened(f"{head}{_PROBE % script}{end}{rest}", folder)
    answer = re.search(r'id="found">(.*?)</script>', dom, re.DOTALL)
    assert answer, dom[-2000:]
    return json.loads(answer.group(1)), console


def axe(folder: Path) -> str:
    """Give axe-core's script; npm brings it."""
    if NPM is None:
        pytest.skip("needs npm, which brings axe-core")
    command = [NPM, "install", "--silent", "--no-save", "--prefix", str(folder), "axe-core@4"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip(f"npm gave no axe-core: {done.stderr[-200:]}")
    return script.read_text()

"""A Chromium for the browser tests: the system's, Playwright's, or Debian's package installed on the spot."""

import os
import shutil
import subprocess
from pathlib import Path

from groupbook.kit.postgres import locked

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


class NoBrowser(Exception):
    """No Chromium or Chrome was found, and none could be installed."""


def find_browser(state: Path) -> Path:
    """The executable of a Chromium or Chrome.

    Raises:
        NoBrowser: none is here and this is not a Debian machine on which we are root.
    """
    named = os.environ.get("GROUPBOOK_TEST_BROWSER")
    if named:
        return Path(named)
    found = _installed()
    if found is not None:
        return found
    with locked(state / "browser.lock"):
        found = _installed() or _install_from_debian()
    if found is None:
        raise NoBrowser(
            "install Chromium or Chrome (Debian: apt-get install chromium), or name it: GROUPBOOK_TEST_BROWSER"
        )
    return found


def _installed() -> Path | None:
    for name in _NAMES:
        path = shutil.which(name)
        if path:
            return Path(path)
    if _MAC.is_file():
        return _MAC
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    return next(iter(sorted(cache.glob("chromium*/chrome-linux*/*hrome"), reverse=True)), None)


def _install_from_debian() -> Path | None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update", "-q"],
        ["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"],
    ):
        if subprocess.run(command, env=environment, check=False, capture_output=True).returncode != 0:
            return None
    return _installed()

"""A Chromium for the browser tests: the system's, Playwright's, or Debian's package installed on the spot.

Where there is one, the shell without windows comes first: the same engine, at a quarter of the cost of a new context.
It blocks no third-party cookies, though.
"""

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
_SHELL = "chromium-headless-shell"
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_MAC = Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome")


class NoBrowser(Exception):
    """No Chromium or Chrome was found, and none could be installed."""


def find_browser(state: Path, *, whole: bool = False) -> Path:
    """The executable of a Chromium or Chrome; of a `whole` one, windows and all, where a test needs that.

    Raises:
        NoBrowser: none is here and this is not a Debian machine on which we are root.
    """
    named = os.environ.get("GROUPBOOK_TEST_BROWSER")
    if named:
        return Path(named)
    found = _installed(whole)
    if found is not None:
        return found
    with locked(state / "browser.lock"):
        found = _installed(whole) or _install_from_debian()
    if found is None:
        raise NoBrowser(
            "install Chromium or Chrome (Debian: apt-get install chromium), or name it: GROUPBOOK_TEST_BROWSER"
        )
    return found


def _installed(whole: bool) -> Path | None:
    cache = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache" / "ms-playwright"))
    shell = None if whole else _on_path(_SHELL) or _newest(cache, "chromium_headless_shell-*/*/*headless*shell")
    return (
        shell
        or _on_path(*_NAMES)
        or (_MAC if _MAC.is_file() else None)
        or _newest(cache, "chromium-*/chrome-linux*/chrome")
    )


def _on_path(*names: str) -> Path | None:
    return next((Path(path) for path in map(shutil.which, names) if path), None)


def _newest(cache: Path, pattern: str) -> Path | None:
    return next(iter(sorted(cache.glob(pattern), reverse=True)), None)


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
    return _installed(whole=True)

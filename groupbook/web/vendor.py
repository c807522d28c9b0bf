"""Vendored browser assets: unmodified files of published npm packages, pinned and checked.

`vendor.toml` names each package, its version, licence, the npm integrity of its tarball and the SHA-256 of every file
kept here. `python -m groupbook.web.vendor --check` compares the files with the list (no network);
`--fetch` downloads the tarballs with `npm pack` and writes the files anew. Users never need Node.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

VENDOR = Path(__file__).parent / "static" / "vendor"


@dataclass(frozen=True)
class Asset:
    """One file kept from one package."""

    package: str
    version: str
    integrity: str
    source: str
    target: Path
    sha256: str


def assets(root: Path = VENDOR) -> Iterator[Asset]:
    """Every file listed in `vendor.toml`, in its order."""
    listed = tomllib.loads((root / "vendor.toml").read_text(encoding="utf-8"))
    for package in listed["package"]:
        for file in package["file"]:
            yield Asset(
                package=package["name"],
                version=package["version"],
                integrity=package["integrity"],
                source=file["source"],
                target=root / package["folder"] / Path(file["source"]).name,
                sha256=file["sha256"],
            )


def check(root: Path = VENDOR) -> list[str]:
    """What is missing, changed or unlisted; empty when the folder is exactly what the list says."""
    listed = list(assets(root))
    problems = []
    for asset in listed:
        if not asset.target.is_file():
            problems.append(f"{asset.target.relative_to(root)} is missing")
        elif hashlib.sha256(asset.target.read_bytes()).hexdigest() != asset.sha256:
            problems.append(f"{asset.target.relative_to(root)} is not the file of {asset.package} {asset.version}")
    known = {asset.target for asset in listed} | {root / "vendor.toml"}
    found = {path for path in root.rglob("*") if path.is_file()}
    return problems + [f"{path.relative_to(root)} is not listed" for path in sorted(found - known)]


def fetch(root: Path = VENDOR) -> None:
    """Download each pinned tarball, refuse a wrong integrity, and extract the listed files."""
    listed = list(assets(root))
    for name, version, integrity in sorted({(a.package, a.version, a.integrity) for a in listed}):
        with tempfile.TemporaryDirectory() as folder:
            packed = subprocess.run(
                ["npm", "pack", f"{name}@{version}", "--json"], cwd=folder, check=True, capture_output=True, text=True
            )
            tarball = Path(folder) / json.loads(packed.stdout)[0]["filename"]
            digest = "sha512-" + base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
            if digest != integrity:
                raise SystemExit(f"{name} {version}: the tarball is {digest}, the list says {integrity}")
            with tarfile.open(tarball) as archive:
                for asset in (a for a in listed if a.package == name):
                    member = archive.extractfile(f"package/{asset.source}")
                    if member is None:
                        raise SystemExit(f"{name} {version} has no {asset.source}")
                    asset.target.parent.mkdir(parents=True, exist_ok=True)
                    asset.target.write_bytes(member.read())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Check or fetch the vendored browser assets.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="compare files with vendor.toml; needs no network")
    what.add_argument("--fetch", action="store_true", help="download with npm pack, then check")
    options = parser.parse_args(arguments)
    if options.fetch:
        fetch()
    problems = check()
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201 - a command line
    if not problems:
        print(f"{len(list(assets()))} vendored files are unmodified")  # noqa: T201 - a command line
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())

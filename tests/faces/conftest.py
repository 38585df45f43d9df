"""A database with the demo's accounts, for the server processes of these tests."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faces.server import billing_mcp


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the demo's accounts, closed."""
    path = tmp_path_factory.mktemp("demo") / "demo.db"
    billing_mcp("demo", "--seed-only", "--database", str(path))
    return path


@pytest.fixture
def demo(seeded: Path, sqlite: str) -> str:
    """A copy of it for one test."""
    return str(shutil.copy(seeded, sqlite))

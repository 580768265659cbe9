"""A small bundle on the disk, and whom it is trusted from."""

from __future__ import annotations

from pathlib import Path

import pytest

from firmware_py.bundles import sign
from firmware_py.bundles.verify import Trust
from firmware_py.bundles.write import write_bundle
from tests.firmware_py.bundles.rig import FILES, a_manifest


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An unsigned bundle on the disk."""
    path = tmp_path / "tiny.bundle"
    write_bundle(path, a_manifest(FILES), FILES)
    return path


@pytest.fixture
def trusted(bundle: Path, tmp_path: Path) -> Trust:
    """The bundle signed, and a trust folder with the publisher's key."""
    private = sign.new_key(tmp_path / "keys", "publisher")
    sign.sign_file(bundle, private)
    trust = tmp_path / "trust"
    trust.mkdir()
    (trust / "publisher.pub").write_bytes((tmp_path / "keys" / "publisher.pub").read_bytes())
    return Trust(trust)

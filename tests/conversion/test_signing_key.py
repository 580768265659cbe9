"""A stranger's checkout signs with a key of its own and trusts it; the publisher's stays what it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conversion import cli
from firmware_py.bundles.sign import new_key

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_checkout_without_the_publishers_key_makes_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The shipped public key is untouched; the own one is made once and trusted beside it."""
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    trust = tmp_path / "models" / "trust"
    trust.mkdir(parents=True)
    (trust / "ciuic-demo.pub").write_bytes(b"somebody else's")
    first = cli._publisher_key()
    assert first.name == "local.key"
    assert (trust / "local.pub").read_bytes() == first.with_suffix(".pub").read_bytes()
    assert (trust / "ciuic-demo.pub").read_bytes() == b"somebody else's"
    made = first.read_bytes()
    assert cli._publisher_key() == first
    assert first.read_bytes() == made


def test_the_publisher_signs_with_the_trusted_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the private half of the shipped key lies, it is used and nothing is made."""
    monkeypatch.setattr(cli, "ROOT", tmp_path)
    private = new_key(tmp_path / ".ciuic" / "keys", cli.PUBLISHER)
    trust = tmp_path / "models" / "trust"
    trust.mkdir(parents=True)
    (trust / f"{cli.PUBLISHER}.pub").write_bytes(private.with_suffix(".pub").read_bytes())
    assert cli._publisher_key() == private
    assert not (trust / "local.pub").exists()

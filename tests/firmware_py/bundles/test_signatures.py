"""Who signed a bundle, whether that is believed, and how keys are kept and read."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from firmware_py.bundles import sign, signature_check, verify
from firmware_py.bundles.read import read_bundle
from firmware_py.bundles.verify import Trust
from firmware_py.contracts.errors import (
    BundleUnsignedError,
    BundleUntrustedError,
    KeyFileError,
)
from tests.firmware_py.bundles.rig import ANYONE, FILES


def test_an_unsigned_bundle_needs_permission(bundle: Path) -> None:
    """Without a signature only `allow_unsigned` admits it."""
    with pytest.raises(BundleUnsignedError):
        read_bundle(bundle, Trust(None))
    assert read_bundle(bundle, ANYONE).manifest.name == "tiny"


def test_a_foreign_key_needs_permission(bundle: Path, trusted: Trust, tmp_path: Path) -> None:
    """A signature by a key outside the trust folder is like none."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, Trust(tmp_path / "empty"))
    assert read_bundle(bundle, ANYONE).files == FILES
    assert trusted.folder is not None


def test_a_forged_signature_is_refused_even_with_permission(bundle: Path, trusted: Trust) -> None:
    """The stated key id is a trusted one, the signature is not its."""
    path = bundle.with_name(bundle.name + ".sig")
    form = json.loads(path.read_bytes())
    form["sha256"] = "0" * 64
    path.write_text(json.dumps(form), encoding="utf-8")
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, replace(trusted, allow_unsigned=True))


@pytest.mark.parametrize("junk", [b"", b"{}", b"[" * 100_000, b"[1]", b'{"v":1,"key":"x"}', b"\xff" * 99])
def test_an_unreadable_signature_is_refused(bundle: Path, trusted: Trust, junk: bytes) -> None:
    """Whatever stands in the .sig file, the answer is one code."""
    bundle.with_name(bundle.name + ".sig").write_bytes(junk)
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, trusted)


def test_keys_are_private_and_never_overwritten(tmp_path: Path) -> None:
    """The secret's mode is 0600, and a second key of that name is refused."""
    path = sign.new_key(tmp_path, "mine")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError):
        sign.new_key(tmp_path, "mine")
    with pytest.raises(KeyFileError):
        sign.new_key(tmp_path, "../mine")


def test_a_foreign_file_in_the_trust_folder_is_named(bundle: Path, trusted: Trust) -> None:
    """The operator hears which file is not a key."""
    assert trusted.folder is not None
    (trusted.folder / "note.pub").write_text("not a key", encoding="utf-8")
    with pytest.raises(KeyFileError, match=r"note\.pub"):
        read_bundle(bundle, trusted)
    assert len(verify.trusted_keys(None)) == 0


def _pem(der: bytes) -> bytes:
    return b"-----BEGIN PUBLIC KEY-----\n" + base64.b64encode(der) + b"\n-----END PUBLIC KEY-----\n"


def test_public_keys_are_read_as_the_library_reads_them(tmp_path: Path) -> None:
    """By hand, because the library takes 9 MB: the same bytes, and whatever is no Ed25519 key is refused."""
    private = ed25519.Ed25519PrivateKey.generate()
    pem = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    raw, path = private.public_key().public_bytes_raw(), tmp_path / "a.pub"
    for good in (pem, pem.replace(b"\n", b"\r\n"), b"\xef\xbb\xbfmine, of 2026\n" + pem + b"\nend\n"):
        path.write_bytes(good)
        assert verify.load_public_key(path) == raw
    der = base64.b64decode(pem.split(b"-----")[2])
    x25519 = bytes.fromhex("302a300506032b656e032100") + raw
    private_pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    bad = (
        b"",
        pem[:40],
        pem + pem,
        private_pem,
        _pem(der[:-1]),
        _pem(der + b"\0"),
        _pem(x25519),
        _pem(b""),
        pem.replace(b"A", b"~"),
    )
    for one in bad:
        path.write_bytes(one)
        with pytest.raises(KeyFileError, match=r"a\.pub"):
            verify.load_public_key(path)
    path.unlink()
    with pytest.raises(KeyFileError, match=r"a\.pub"):
        verify.load_public_key(path)


def test_a_child_says_of_signatures_what_the_library_says(
    bundle: Path, trusted: Trust, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node asks a child, and loads none of the library: what fits passes, another key's and another message do not."""
    apart = replace(trusted, apart=True)
    assert read_bundle(bundle, apart).sha256 == read_bundle(bundle, trusted).sha256
    signature = verify.parse_signature(bundle.with_name(bundle.name + ".sig").read_bytes())
    forged = replace(signature, signature=bytes(64))
    bundle.with_name(bundle.name + ".sig").write_bytes(forged.to_bytes())
    with pytest.raises(BundleUntrustedError):
        read_bundle(bundle, apart)
    private = ed25519.Ed25519PrivateKey.generate()
    said, key = private.sign(b"this"), private.public_key().public_bytes_raw()
    assert signature_check.fits(key, said, b"this")
    assert not signature_check.fits(key, said, b"that")
    monkeypatch.setattr(signature_check, "fits", None)  # the child alone answers
    assert signature_check.fits_apart(key, said, b"this")
    assert not signature_check.fits_apart(key, said, b"that")
    assert not signature_check.fits_apart(bytes(32), said, b"this")


def test_a_child_that_cannot_answer_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process to be had, or one that dies: a signature is never taken as good for that."""
    private = ed25519.Ed25519PrivateKey.generate()
    said, key = private.sign(b"this"), private.public_key().public_bytes_raw()
    for command in ("/bin/false", "/bin/true", "/nowhere", None):
        monkeypatch.setattr(sys, "executable", command)
        assert signature_check.fits_apart(key, said, b"this")
        assert not signature_check.fits_apart(key, said, b"that")

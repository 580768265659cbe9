"""Who signed a bundle, whether that is believed, and how keys are kept and read."""

from __future__ import annotations

import base64
import json
import sys
import types
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

_VECTORS = [  # RFC 8032, section 7.1, tests 1 and 2: public key, signature, message
    (
        bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"),
        bytes.fromhex(
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        b"",
    ),
    (
        bytes.fromhex("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
        bytes.fromhex(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
            "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        b"r",
    ),
]


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
    """Where OpenSSL cannot be asked a node asks a child: what fits passes, another key's and another message do not."""
    monkeypatch.setattr(signature_check, "by_openssl", lambda *_: None)
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


def test_what_python_has_loaded_answers_without_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The OpenSSL behind hashlib knows RFC 8032's first two vectors, and no other key, message or signature for them."""
    if signature_check.by_openssl(bytes(32), bytes(64), b"") is None:
        pytest.skip("this Python has no OpenSSL that can be asked")
    monkeypatch.setattr(signature_check, "fits_apart", None)
    for key, said, text in _VECTORS:
        assert signature_check.fits_small(key, said, text)
        assert not signature_check.fits_small(key, said, text + b"\0")
        assert not signature_check.fits_small(_VECTORS[0][0], _VECTORS[1][1], text)
        for at in range(0, len(said), 7):
            other = bytes([*said[:at], said[at] ^ 1, *said[at + 1 :]])
            assert not signature_check.fits_small(key, other, text)
        for part in (b"", said[:-1], said + b"\0"):
            assert not signature_check.fits_small(key, part, text)


def test_where_openssl_says_nothing_a_child_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without it, or one that has it linked in: neither yes nor no."""
    (key, said, text), _ = _VECTORS
    assert signature_check.by_openssl(key[:31], said, text) is None
    monkeypatch.setitem(sys.modules, "_hashlib", types.ModuleType("_hashlib"))
    assert signature_check.by_openssl(key, said, text) is None
    assert signature_check.fits_small(key, said, text)
    assert not signature_check.fits_small(key, said, b"that")


def test_a_child_that_cannot_answer_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process to be had, or one that dies: a signature is never taken as good for that."""
    private = ed25519.Ed25519PrivateKey.generate()
    said, key = private.sign(b"this"), private.public_key().public_bytes_raw()
    for command in ("/bin/false", "/bin/true", "/nowhere", None):
        monkeypatch.setattr(sys, "executable", command)
        assert signature_check.fits_apart(key, said, b"this")
        assert not signature_check.fits_apart(key, said, b"that")

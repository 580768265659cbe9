"""Who published it: Ed25519 signatures and the trust folder. Bytes in, a verdict or an error out.

The `.sig` file beside a bundle is JSON: `{"v":1,"key":ID,"bytes":N,"sha256":HEX,"signature":BASE64}`.
The signature (RFC 8032) is over the domain prefix, the size and the SHA-256 digest, so that a changed,
a cut and a foreign file are told apart before a byte of it is decompressed. A key's id is the first
16 hex digits of the SHA-256 of its 32 raw bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from firmware_py.bundles.signature_check import fits, fits_small
from firmware_py.contracts.check import Fields
from firmware_py.contracts.errors import (
    BundleHashError,
    BundleTruncatedError,
    BundleUnsignedError,
    BundleUntrustedError,
    ConfigError,
    KeyFileError,
)

SIGNATURE_VERSION = 1
MAX_SIGNATURE_BYTES = MAX_KEY_BYTES = 4096
_DOMAIN = b"ciuic-edge bundle signature v1\0"
_PEM = re.compile(rb"-----BEGIN PUBLIC KEY-----\s([A-Za-z0-9+/=\s]{1,200})-----END PUBLIC KEY-----")
_ED25519 = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what precedes the 32 raw bytes


@dataclass(frozen=True, slots=True)
class Trust:
    """Whose bundles may run here.

    `folder` and `more` are folders with one `*.pub` file (PEM) per trusted publisher. `allow_unsigned`
    admits bundles without a signature or by an unknown key; a signature that does not fit is refused
    always. `apart`: signatures are checked without the library for it, for a process that shall stay small.
    """

    folder: Path | None
    allow_unsigned: bool = False
    more: tuple[Path, ...] = ()
    apart: bool = False

    def key(self, wanted: str) -> bytes | None:
        """The 32 raw bytes of the trusted key of this id.

        Raises:
            KeyFileError: a key file is unreadable.
        """
        found = (trusted_keys(folder).get(wanted) for folder in (self.folder, *self.more))
        return next((key for key in found if key is not None), None)


def trust_folder(named: Path | None, usual: Path) -> Path:
    """The folder of public keys: the one that was named, else the usual one, which need not be there.

    Raises:
        ConfigError: there is no folder of that name; taken as one without keys, it would be the bundle's fault.
    """
    if named is not None and not named.is_dir():
        msg = f"the trust folder {named} does not exist"
        raise ConfigError(msg, hint="Name the folder that holds the publishers' .pub files.")
    return usual if named is None else named


@dataclass(frozen=True, slots=True)
class Signature:
    """A parsed `.sig` file; nothing in it is verified yet."""

    key_id: str
    size_bytes: int
    sha256: str
    signature: bytes

    def to_bytes(self) -> bytes:
        """The file form."""
        signature = base64.b64encode(self.signature).decode("ascii")
        form = {
            "v": SIGNATURE_VERSION,
            "key": self.key_id,
            "bytes": self.size_bytes,
            "sha256": self.sha256,
            "signature": signature,
        }
        return (json.dumps(form) + "\n").encode("ascii")


def message(size_bytes: int, sha256: str) -> bytes:
    """What is signed: domain prefix, size as 8 bytes big-endian, digest."""
    return _DOMAIN + size_bytes.to_bytes(8, "big") + bytes.fromhex(sha256)


def key_id(raw_public_key: bytes) -> str:
    """The id of a public key's 32 raw bytes."""
    return hashlib.sha256(raw_public_key).hexdigest()[:16]


def signature_path(bundle: Path) -> Path:
    """Where the signature of a bundle file lies: beside it."""
    return bundle.with_name(bundle.name + ".sig")


def parse_signature(data: bytes) -> Signature:
    """Read a `.sig` file.

    Raises:
        BundleUntrustedError: it has another form.
    """
    try:
        form = Fields(json.loads(data[: MAX_SIGNATURE_BYTES + 1]), "signature", BundleUntrustedError)
        parsed = Signature(
            key_id=form.text("key", limit=64),
            size_bytes=form.integer("bytes"),
            sha256=bytes.fromhex(form.text("sha256", limit=64)).hex(),
            signature=base64.b64decode(form.text("signature", limit=128), validate=True),
        )
    except (ValueError, RecursionError) as error:
        msg = "the signature file is not readable"
        raise BundleUntrustedError(msg) from error
    form.integer("v", low=SIGNATURE_VERSION, high=SIGNATURE_VERSION)
    if (len(parsed.sha256), len(parsed.signature)) != (64, 64):
        msg = "the signature file's digest or signature has another length"
        raise BundleUntrustedError(msg)
    return parsed


def check_archive(archive: bytes, signature: bytes | None, trust: Trust) -> str:
    """Check an archive against its signature file and return its SHA-256 in hex.

    Raises:
        BundleUnsignedError: there is no signature and none may be missing.
        BundleUntrustedError: by no trusted key, or the signature does not fit.
        BundleTruncatedError: fewer bytes than were signed.
        BundleHashError: other bytes than were signed.
        KeyFileError: a key of the trust folder is unreadable.
    """
    sha256 = hashlib.sha256(archive).hexdigest()
    if signature is None:
        if not trust.allow_unsigned:
            msg = "the bundle has no signature"
            raise BundleUnsignedError(msg)
        return sha256
    stated = parse_signature(signature)
    key = trust.key(stated.key_id)
    if key is not None:
        check = fits_small if trust.apart else fits
        if not check(key, stated.signature, message(stated.size_bytes, stated.sha256)):
            msg = f"the signature is not by key {stated.key_id}"
            raise BundleUntrustedError(msg)
    elif not trust.allow_unsigned:
        msg = f"the bundle is signed by key {stated.key_id}, which is not in the trust folder"
        raise BundleUntrustedError(msg)
    if len(archive) < stated.size_bytes:
        msg = f"the bundle has {len(archive)} of the {stated.size_bytes} bytes that were signed"
        raise BundleTruncatedError(msg)
    if sha256 != stated.sha256:
        msg = "the bundle is not the file that was signed"
        raise BundleHashError(msg)
    return sha256


def trusted_keys(folder: Path | None) -> dict[str, bytes]:
    """Key id -> the 32 raw bytes of every `*.pub` file in the folder; none for a folder that is absent.

    Raises:
        KeyFileError: a file there is not an Ed25519 public key in PEM.
    """
    if folder is None or not folder.is_dir():
        return {}
    return {key_id(key): key for key in map(load_public_key, sorted(folder.glob("*.pub")))}


def load_public_key(path: Path) -> bytes:
    """The 32 raw bytes of one `.pub` file.

    Raises:
        KeyFileError: it is absent or not an Ed25519 public key in PEM.
    """
    try:
        with path.open("rb") as file:
            found = _PEM.findall(file.read(MAX_KEY_BYTES))
        key = base64.b64decode(b"".join(found[0].split()), validate=True) if len(found) == 1 else b""
    except (OSError, ValueError) as error:
        msg = f"{path} is not a readable public key"
        raise KeyFileError(msg) from error
    if not key:
        msg = f"{path} is not one public key in PEM"
        raise KeyFileError(msg)
    if not key.startswith(_ED25519) or len(key) != len(_ED25519) + 32:
        msg = f"{path} is not an Ed25519 key"
        raise KeyFileError(msg)
    return key.removeprefix(_ED25519)

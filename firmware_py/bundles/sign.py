"""Key pairs and signatures: `<name>.key` (PEM, mode 0600) signs, `<name>.pub` (PEM) goes into trust folders."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from firmware_py.bundles.verify import Signature, key_id, message, signature_path
from firmware_py.bundles.write import write_atomic
from firmware_py.contracts.errors import BundleMissingError, KeyFileError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def new_key(folder: Path, name: str) -> Path:
    """Make `<name>.key` and `<name>.pub` in the folder and return the private key's path.

    Raises:
        KeyFileError: the name is not a plain file name, the pair exists, or cannot be written.
    """
    if not _NAME.fullmatch(name):
        msg = f"{name!r} is not a plain file name"
        raise KeyFileError(
            msg, hint="A key's name has letters, digits, '_', '.' and '-'; --folder says where it lies."
        )
    private_path, public_path = folder / f"{name}.key", folder / f"{name}.pub"
    if private_path.exists() or public_path.exists():
        msg = f"a key named {name} is already in {folder}"
        raise KeyFileError(msg, hint="Take another name, or move the old pair away first.")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # O_EXCL with the mode: the secret is never readable by others, not even for a moment.
        descriptor = os.open(private_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secret)
        write_atomic(public_path, public)
    except OSError as error:
        msg = f"the key pair cannot be written to {folder}: {error.strerror}"
        raise KeyFileError(msg, hint="Name a folder that you may write to with --folder.") from error
    return private_path


def load_private_key(path: Path) -> Ed25519PrivateKey:
    """Read one `.key` file.

    Raises:
        KeyFileError: it is absent or not an unencrypted Ed25519 private key in PEM.
    """
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
        msg = f"{path} is not a readable private key"
        raise KeyFileError(msg) from error
    if not isinstance(key, Ed25519PrivateKey):
        msg = f"{path} is not an Ed25519 key"
        raise KeyFileError(msg)
    return key


def sign_file(bundle_path: Path, private_key_path: Path) -> Path:
    """Write `<bundle>.sig` beside the bundle and return its path.

    Raises:
        KeyFileError: the private key is unreadable.
        BundleMissingError: the bundle is unreadable.
    """
    key = load_private_key(private_key_path)
    try:
        archive = bundle_path.read_bytes()
    except OSError as error:
        msg = f"{bundle_path} cannot be read: {error.strerror}"
        raise BundleMissingError(msg) from error
    sha256 = hashlib.sha256(archive).hexdigest()
    signed = Signature(
        key_id=key_id(key.public_key().public_bytes_raw()),
        size_bytes=len(archive),
        sha256=sha256,
        signature=key.sign(message(len(archive), sha256)),
    )
    path = signature_path(bundle_path)
    write_atomic(path, signed.to_bytes())
    return path

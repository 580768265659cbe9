"""Whether an Ed25519 signature fits (RFC 8032): asked of what is loaded already, of a process of its own, or here.

The library that knows it takes some 9 MB and 40 ms and is used once in a node's life. A node asks the OpenSSL that
Python's own hashlib holds; where that is none with Ed25519, a child, whose memory goes back. Run by its path in an
isolated interpreter: `python -I signature_check.py PARENT_PID KEY SIGNATURE MESSAGE`, the latter three in hex.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FITS, FITS_NOT = 61, 62  # no status that another program in the interpreter's place would end with
_TIMEOUT_S = 30.0
_ED25519 = 1087  # NID_ED25519 of openssl/obj_mac.h, which is EVP_PKEY_ED25519


def fits(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature over a message is by the public key of these 32 bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def fits_small(key: bytes, signature: bytes, message: bytes) -> bool:
    """The same answer without that library in this process, as long as anything else can give it."""
    known = by_openssl(key, signature, message)
    return fits_apart(key, signature, message) if known is None else known


def fits_apart(key: bytes, signature: bytes, message: bytes) -> bool:
    """The same answer from a child; where none can be had from it, from here."""
    if not sys.executable:  # a program that has Python inside
        return fits(key, signature, message)
    command = [sys.executable, "-I", __file__, str(os.getpid()), key.hex(), signature.hex(), message.hex()]
    try:
        status = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_TIMEOUT_S, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return fits(key, signature, message)
    return status == FITS if status in (FITS, FITS_NOT) else fits(key, signature, message)


def by_openssl(key: bytes, signature: bytes, message: bytes) -> bool | None:
    """EVP_DigestVerify(3) of the library behind hashlib; None where it is another one, or does not answer yes or no."""
    from ctypes import CDLL, c_char_p, c_int, c_size_t, c_void_p

    try:
        import _hashlib

        openssl = CDLL(_hashlib.__file__)
        new_key, free_key = openssl.EVP_PKEY_new_raw_public_key, openssl.EVP_PKEY_free
        new_context, free_context = openssl.EVP_MD_CTX_new, openssl.EVP_MD_CTX_free
        begin, verify = openssl.EVP_DigestVerifyInit, openssl.EVP_DigestVerify
    except (ImportError, OSError, AttributeError):  # without OpenSSL, or linked into the interpreter
        return None
    new_key.argtypes, new_key.restype = (c_int, c_void_p, c_char_p, c_size_t), c_void_p
    new_context.argtypes, new_context.restype = (), c_void_p
    begin.argtypes = (c_void_p,) * 5
    verify.argtypes = (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)
    free_key.argtypes = free_context.argtypes = (c_void_p,)
    public, context = new_key(_ED25519, None, key, len(key)), new_context()
    try:
        if not public or not context or begin(context, None, None, None, public) != 1:
            return None
        return {1: True, 0: False}.get(verify(context, signature, len(signature), message, len(message)))
    finally:
        free_context(context)
        free_key(public)


def main() -> int:
    """The child: its exit status is the answer."""
    import runpy

    # By its path: an isolated interpreter may know none of our packages, or another installation's.
    runpy.run_path(str(Path(__file__).parents[1] / "children.py"))["end_with"](int(sys.argv[1]))
    return FITS if fits(*map(bytes.fromhex, sys.argv[2:])) else FITS_NOT


if __name__ == "__main__":
    sys.exit(main())

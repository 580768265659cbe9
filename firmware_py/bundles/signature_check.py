"""Whether an Ed25519 signature fits (RFC 8032), here or in a process of its own.

The library that knows it takes some 9 MB and is used once in a node's life: a node asks a child, whose memory goes
back. Run by its path in an isolated interpreter: `python -I signature_check.py PARENT_PID KEY SIGNATURE MESSAGE`, the
latter three in hex.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FITS, FITS_NOT = 61, 62  # no status that another program in the interpreter's place would end with
_TIMEOUT_S = 30.0


def fits(key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether a signature over a message is by the public key of these 32 bytes."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


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


def main() -> int:
    """The child: its exit status is the answer."""
    import runpy

    # By its path: an isolated interpreter may know none of our packages, or another installation's.
    runpy.run_path(str(Path(__file__).parents[1] / "children.py"))["end_with"](int(sys.argv[1]))
    return FITS if fits(*map(bytes.fromhex, sys.argv[2:])) else FITS_NOT


if __name__ == "__main__":
    sys.exit(main())

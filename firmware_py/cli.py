"""`ciuic key`: make and show signing keys, sign bundles with them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

DEFAULT_FOLDER = "~/.config/ciuic/keys"


def configure_key(parser: argparse.ArgumentParser) -> None:
    """Flags of the verb."""
    verbs = parser.add_subparsers(dest="key_verb", required=True, metavar="new|show|sign")
    new = verbs.add_parser("new", help="make a key pair: NAME.key signs, NAME.pub goes into trust folders")
    new.add_argument("name", help="name of the key pair, a plain file name")
    show = verbs.add_parser("show", help="list public keys with their ids")
    show.add_argument(
        "path",
        nargs="?",
        help="a .pub file or a folder of them, such as models/trust (default: what --folder says)",
    )
    sign = verbs.add_parser("sign", help="write BUNDLE.sig: whoever trusts NAME.pub takes the bundle")
    sign.add_argument("bundle", help="a bundle file; its own former signature is replaced")
    sign.add_argument("name", help="name of the key pair that signs")
    for verb in (new, show, sign):
        verb.add_argument(
            "--folder", default=DEFAULT_FOLDER, help="folder of the keys (default: %(default)s)"
        )
        verb.add_argument("--json", action="store_true", help="print one JSON document")


def run_key(args: argparse.Namespace) -> int:
    """Make, show or sign."""
    folder = Path(args.folder).expanduser()
    if args.key_verb == "sign":
        return _sign(Path(args.bundle), folder / f"{args.name}.key", as_json=args.json)
    if args.key_verb == "new":
        from firmware_py.bundles.sign import new_key

        private = new_key(folder, args.name)
        keys = [_line(private.with_suffix(".pub"))]
        if not args.json:
            print(f"private  {private}  (keep it: whoever has it can publish as you)")
    else:
        path = Path(args.path).expanduser() if args.path else folder
        absent = args.path is None and not folder.exists()  # nobody has made a key yet
        files = sorted(path.glob("*.pub")) if absent or path.is_dir() else [path]
        keys = [_line(file) for file in files]
    if args.json:
        print(json.dumps({"keys": keys}, indent=1))
    else:
        for key in keys:
            print(f"public   {key['file']}  id {key['id']}")
        if not keys:
            print(f"no public keys in {path}; make one with `ciuic key new NAME`")
    return 0


def _sign(bundle: Path, private: Path, *, as_json: bool) -> int:
    """Sign what is a whole bundle, and say by which key."""
    from firmware_py.bundles.read import read_bundle
    from firmware_py.bundles.sign import sign_file
    from firmware_py.bundles.verify import Trust, parse_signature, signature_path
    from firmware_py.contracts.errors import BundleHashError, BundleTruncatedError, BundleUntrustedError

    # Reads all of it: no text file is signed, and no bundle that was changed since somebody signed it.
    try:
        sha256 = read_bundle(bundle, Trust(None, allow_unsigned=True)).sha256
    except (BundleHashError, BundleTruncatedError, BundleUntrustedError) as error:
        former = signature_path(bundle)
        if not former.exists():
            raise
        hint = f"{error.hint} If {former} is an earlier bundle's, delete it first."
        raise type(error)(error.message, hint=hint) from error
    made = sign_file(bundle, private)
    key = parse_signature(made.read_bytes()).key_id
    if as_json:
        print(json.dumps({"signature": str(made), "key": key, "sha256": sha256}, indent=1))
    else:
        print(f"signed   {made}  by key {key}")
    return 0


def _line(path: Path) -> dict[str, str]:
    from firmware_py.bundles.verify import key_id, load_public_key

    return {"file": str(path), "id": key_id(load_public_key(path))}

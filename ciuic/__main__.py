"""`python -m ciuic` is the `ciuic` command."""

from __future__ import annotations

import sys

from ciuic.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""The code on the README's first screen does what it says, run as a user would run it."""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from hil_tests.conftest import MESH, ROOT, Node

pytestmark = pytest.mark.hil


@pytest.mark.skipif(MESH != "home", reason="the README's example asks the mesh `home`")
def test_the_example_prints_an_answer(node: Node) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    block = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    url = urlsplit(node.broker_url_v311)  # what paho speaks unless told otherwise
    code = block[1].replace('connect("localhost")', f"connect({url.hostname!r}, {url.port or 1883})")
    assert code != block[1], "the example connects to localhost"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 0, done.stderr
    label, exit_taken, run_s, _joules = done.stdout.split()
    assert label.startswith("Hass")
    assert int(exit_taken) >= 1
    assert 0.0 < float(run_s) < 5.0

"""What holds for every test.

Property tests have no deadline: how long an example takes says how busy the machine is, not whether
the code is right. With `CI` set, hypothesis derandomizes by itself, so that a run there can be repeated.
"""

from __future__ import annotations

import os

try:
    from hypothesis import settings
except ModuleNotFoundError:  # the training environment has none, and its tests need none
    pass
else:
    if not os.environ.get("CI"):
        settings.register_profile("no-deadline", deadline=None)
        settings.load_profile("no-deadline")

"""The tests of `on_device.py` in a process of their own, because torch registers a device for good.

python -m pytest tests/devices/on_device.py         shows each of them
"""

import subprocess
import sys
from pathlib import Path


def test_everything_runs_on_a_device_that_is_not_at_hand():
    file = Path(__file__).with_name("on_device.py")
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", str(file)]
    result = subprocess.run(command, capture_output=True, text=True, cwd=file.parents[2])
    assert result.returncode == 0, result.stdout[-5000:]

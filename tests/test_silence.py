"""What C++ prints is kept off the output, by any number of threads at once, and the output comes back."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, threading, time
from harness.silence import silent
def work(number):
    for _ in range(20):
        with silent():
            time.sleep(0.0003 * (number % 3))
            os.write(1, b"noise ")
with silent(), silent():
    os.write(1, b"noise ")
threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("heard")
"""


def test_the_output_comes_back_whichever_thread_leaves_last():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout == "heard\n"

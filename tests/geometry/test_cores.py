"""The threads of BLAS, in a process of its own, where libraries may still be loaded."""

import subprocess
import sys

import pytest

_PROGRAM = """
import sys
import numpy
from threadpoolctl import threadpool_info, threadpool_limits
from lightning_grok.geometry.cores import one_blas_thread

def threads():
    return {each["filepath"]: each["num_threads"] for each in threadpool_info()
            if each["user_api"] == "blas"}

assert "scipy.linalg" not in sys.modules
known = 0
for load in (lambda: None, lambda: __import__("scipy.linalg")):
    load()
    threadpool_limits(2, user_api="blas")
    assert len(threads()) > known and set(threads().values()) == {2}, threads()
    known = len(threads())
    with one_blas_thread():
        assert set(threads().values()) == {1}, threads()
    assert set(threads().values()) == {2}, threads()
"""


@pytest.mark.slow
def test_every_blas_has_one_thread_also_where_it_is_loaded_later() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

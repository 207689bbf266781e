"""A fork waits for imports of other threads; see also test_fork.py."""

from __future__ import annotations

import json
import os
import threading
import time
import warnings

import pytest

from halfbyte.import_lock import imported, importing, let_forks_wait


def test_a_module_by_name() -> None:
    assert imported("json") is json


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_fork_waits_for_another_threads_import() -> None:
    done, begun = [], threading.Event()

    def take_long() -> None:
        with importing:
            begun.set()
            time.sleep(0.2)
            done.append("whole")

    let_forks_wait()
    thread = threading.Thread(target=take_long)
    thread.start()
    begun.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the test
        child = os.fork()
    if child == 0:
        os._exit(0 if done == ["whole"] else 1)
    assert os.waitpid(child, 0)[1] == 0
    thread.join()

"""Waiting for things to be so: polling with a deadline, never a bare sleep."""

import time


def wait_for(condition, timeout=10, what=None, interval=0.02):
    """Returns the first true value of condition(); fails after timeout s."""

    deadline = time.monotonic() + timeout

    while True:
        value = condition()
        if value:
            return value

        if time.monotonic() > deadline:
            what = what() if callable(what) else what or condition
            raise AssertionError(f"not so within {timeout} s: {what}")

        time.sleep(interval)

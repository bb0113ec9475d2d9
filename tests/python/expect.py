# SPDX-License-Identifier: Apache-2.0
"""Checks of the Python tests: one line each, counted; a test ends with sys.exit(expect.finish())."""
import numpy

failures = 0


def check(good, what):
    global failures
    failures += not good
    print(("ok      " if good else "FAILED  ") + what, flush=True)


def close(found, expected, rtol, atol, what):
    """Equal shapes, and every value within atol + rtol * |expected|; NaN equals NaN."""
    found, expected = (numpy.asarray(value, numpy.float64) for value in (found, expected))
    if found.shape != expected.shape:
        check(False, f"{what}: shape {found.shape}, expected {expected.shape}")
        return
    bad = ~numpy.isclose(found, expected, rtol, atol, equal_nan=True)
    detail = ""
    if bad.any():
        error = numpy.where(bad, numpy.nan_to_num(numpy.abs(found - expected), nan=numpy.inf), -1)
        worst = tuple(map(int, numpy.unravel_index(error.argmax(), error.shape)))
        detail = (f": {bad.sum()} of {bad.size} beyond rtol {rtol}, atol {atol}; "
                  f"worst {worst}: {found[worst]}, expected {expected[worst]}")
    check(not bad.any(), what + detail)


def refused(kind, call, parts, what):
    """The call raises `kind`, and its text has each of `parts` (or the one) in it."""
    try:
        call()
        check(False, what + ": nothing raised")
    except kind as error:
        check(all(part in str(error) for part in ([parts] if isinstance(parts, str) else parts)), f"{what}: {error}")


def skip(what, reason):
    print(f"skipped {what}: {reason}", flush=True)


def finish():
    print(f"{failures} failures")
    return failures != 0

# ruff: noqa: T201 - they print
"""Functions for nodes of the kind ``python`` that print, save and break in every way."""

import ctypes
import logging
import os
import subprocess
import sys
import time


def speak(call):
    print("out")
    print("err", file=sys.stderr)
    call.log.error("said")
    print("after")


def gigabyte():
    block = (b"x" * 127 + b"\n") * 8192
    for _ in range(1024):
        sys.stdout.buffer.write(block)


def prints():
    for number in range(300_000):
        print("line", number)


def one_line():
    sys.stdout.write("z" * 100_000_000)
    print()
    print("after")


def binary():
    sys.stdout.buffer.write(bytes(range(256)) * 4 + b"\n")


def closes():
    sys.stdout.close()
    sys.stderr.close()
    os.close(1)
    os.close(2)


def library():
    logging.getLogger("lib").warning("of %s", "a library")
    logging.getLogger("lib").error("%d", "no number")
    ctypes.CDLL(None).puts(b"of C")
    subprocess.run(["echo", "of a program"], check=True)


def crashes():
    print("the last words")
    ctypes.string_at(0)


def hangs():
    print("begun")
    time.sleep(60)


def slowly():
    print("first")
    time.sleep(1.5)
    print("second")


def breaks():
    print("here")
    raise LookupError("nobody expected this")


def logs(call):
    for number in range(20_000):
        call.log.info(str(number))


def works():
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    spin = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", spin], check=True)


def saves(call):
    return call.save("a.bin", b"abc", "application/octet-stream")


def saves_and_fails(call):
    call.save("a.bin", b"abc", "application/octet-stream")
    raise ValueError


def not_json():
    return object()


def not_a_number():
    return [float("nan"), float("inf"), 1.5]


def too_large():
    return "x" * (17 * 2**20)


def large():
    print("made")
    return {"rows": [{"n": number, "text": "ü" * 20} for number in range(3000)]}


def counts(rows):
    return len(rows)

"""What is behind the door :mod:`worker.enqueue`: storing runs, steering them, repeating them, waking workers.

Everything here takes the caller's transaction; only the wake-up, after the commit, opens one of its own.
"""

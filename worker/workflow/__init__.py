"""Workflows: definitions, runs, the executor, checkpoints, recovery and the kinds of nodes."""

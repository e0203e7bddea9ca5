"""What `helmsight` does, one module a subject; imported when the command runs, so that `--help` is fast."""

"""Functions that Helmsight ships for nodes of the kind ``python``; each is an entry point of ``helmsight.python``."""

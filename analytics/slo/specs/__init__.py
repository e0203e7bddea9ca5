"""Specifications of objectives: the native form, and the forms of other tools."""

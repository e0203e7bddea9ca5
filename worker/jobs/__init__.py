"""The functions that the catalog names: ids in, nothing out, thin."""

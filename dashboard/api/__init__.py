"""The REST interface: routes, documents, errors. What the numbers mean is in analytics; pages do not call it."""

"""Questions asked of PostgreSQL, one a function: session first, frozen rows out, never a commit."""

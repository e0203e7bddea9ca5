"""Who is here and what they may do: accounts, sessions, tokens, roles. Pages and routes ask; nothing here draws."""

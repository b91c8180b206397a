"""How it is undone: one function of (log, live state), three callers."""

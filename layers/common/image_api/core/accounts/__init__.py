"""Users: names, passwords, tokens, sessions, and how an account ends."""

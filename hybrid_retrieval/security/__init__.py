"""What keeps foreign code, secrets and control characters out; SECURITY.md says what is refused and where."""

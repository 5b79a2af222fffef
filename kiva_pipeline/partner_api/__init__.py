"""Kiva's Partner API: the client, its token, what it answers, and its errors."""

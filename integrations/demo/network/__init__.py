"""Plaza: a small social network of its own. Eight people, a feed, messages, an OpenID provider and a mini-app frame.

It stands in for the real networks and imports nothing of groupbook, so that both sides of each protocol were
written apart. State is one SQLite file; kill it at any time.
"""

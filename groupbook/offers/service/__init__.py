"""The verbs of this room, one noun a file."""

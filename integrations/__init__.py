"""Everything that speaks to the outside: one file per network, provider and merchant, and the demo servers."""

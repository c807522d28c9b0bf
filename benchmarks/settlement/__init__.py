"""What a group checkout costs the database: ours, the one-statement limit and the row-by-row shape, in one run.

The counts are taken where they cannot lie, at the wire: `wire.Wire` reads what libpq itself says it sent and received.
"""

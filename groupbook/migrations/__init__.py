"""Alembic migrations, one chain. Each script says why, takes a short lock timeout, and knows its way back."""

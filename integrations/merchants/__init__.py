"""Merchant adapters: one file each, for the port in groupbook/offers/ports.py; and readers of open timetables."""

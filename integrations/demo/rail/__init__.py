"""Kestrel Rail: the demo merchant. A small rail agency with a timetable, seat maps, holds, orders and a shop.

A stand-alone server (`python -m integrations.demo.rail --help`): it knows groupbook only as an address to embed. Its
books are one sqlite file, every change one transaction, so that kill -9 loses nothing that was answered.
"""

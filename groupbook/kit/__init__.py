"""Kit: what every room stands on and nothing that knows a room.

Promise: money is exact, time is the database's, a fact outlives the transaction that made it, and a call to the
outside happens because a row says so. Import the module you need (`groupbook.kit.money`); there is no façade.
"""

"""Web: the pages, the widget, the embed protocol; with `notices` the only room that makes sentences.

Promise: every page is complete without a script; whatever a person typed is escaped; who may frame a page is decided by
its headers; a change asked for with a cookie comes from our own page; nobody sees what the organizer does not allow.
"""

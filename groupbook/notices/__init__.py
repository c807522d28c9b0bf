"""Notices: telling people what happened to their trip, in their page and by the network they came from.

Promise: each member is told of each fact at most once (a channel that times out may repeat a message, under one key);
what is no longer true is neither shown nor sent; sentences come from the one catalogue in the reader's language; a
guest, or a person no channel reaches, still finds the notice in the page.

    note(session, fact)                                  the listener, for every name in CODE_OF_FACT
    send(deps, merchant_id, notice_id); sweep(deps, merchant_id)     worker: nudge "send_notice", and beat
    notices_for(session, member_id); mark_seen(session, member_id); forget(session, member_ids)      steps
    sentence(words, code, trip=title)                    what the page shows
"""

from groupbook.notices.domain import CODE_OF_FACT, Address, Notice, NoticeCode, NoticeState
from groupbook.notices.sentences import sentence, short
from groupbook.notices.service import NUDGE, NoticeDeps, forget, mark_seen, note, notices_for, send, sweep

__all__ = [
    "CODE_OF_FACT",
    "NUDGE",
    "Address",
    "Notice",
    "NoticeCode",
    "NoticeDeps",
    "NoticeState",
    "forget",
    "mark_seen",
    "note",
    "notices_for",
    "send",
    "sentence",
    "short",
    "sweep",
]

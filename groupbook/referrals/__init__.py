"""Referrals: who shared a trip where, which visits, members and bookings came of it.

Promise: one code per share act; the code carries no right, visibility is asked from `trips` at every use; a visit
counts once, by evidence of a person, never for bots, prefetches, HEAD, the sharer or the members; what does not count
is kept with its reason; joins and bookings are attributed once and never rewritten. Full addresses are never stored.

    mint_share(database, caller, trip_id, *, channel, fields) -> Share           use case
    open_share(database, code) -> Share                                          use case; code -> merchant, not revoked
    record_hit(database, merchant_id, click, *, trip_id, share=None, visitor=None) -> Recorded    use case
    click_of(method, headers, address, secret) -> Click                          pure: reduces a request
    confirm_visit(database, merchant_id, visit_id) -> bool                       use case (beacon or action)
    note_join(session, *, trip_id, member, visit_id, now)                        step
    growth(database, merchant_id) -> Growth                                      use case
    on_member_joined(session, fact), on_booking_confirmed(session, fact), on_person_erased…   listeners
    forget(session, subject)                                                     erasure
"""

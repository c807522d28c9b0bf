"""Trips: the plan a group makes - members, options, votes, the decision, privacy, comments, the live event log.

Promise: the decision rule is fixed when a round starts; votes are last-writer-wins per member and option; every change
and its event (gapless `seq` per trip) commit together under the trip's row lock; privacy changes take effect at once,
on codes, streams and previews; a guest who becomes a person loses nothing. Knows nothing of bookings: they freeze the
roster and mark the trip through steps. Lock order: booking, then trip.

Use cases (open the one transaction):
    start_trip(database, caller, plan: StartTrip, *, now) -> Started(trip_id, member, guest_token | None)
    join_by_invite(database, caller, token, *, name, secret, now) -> Joined(trip_id, merchant_id, member, guest_token, is_new)
    join_public(database, caller, merchant_id, trip_id, *, name, now) -> Joined           (public trips, no invite)
    adopt(database, caller, guest_id, *, now) -> Member            (the caller is the person; merges when already in)
    add_option, remove_option, cast_vote, withdraw_vote, set_going, leave, remove_member, lock, unlock, decide,
    undo_decision, reopen, cancel, change_privacy, rename, create_invite, revoke_invite, add_comment, remove_comment
    read_trip(database, caller, trip_id) -> bytes                  (one statement; the JSON of TripOut)
    read_prices(database, caller, trip_id, *, now) -> list[OptionPrice]
    decide_due(database, merchant_id, *, now) -> int               (the sweep; due trips decide or lock themselves)
Steps (take the open session first, never commit, never call out):
    freeze_roster(session, trip_id, *, by: BookingId, now) -> Roster; thaw_roster(session, trip_id, *, by)
    mark_booking / mark_booked / mark_booking_failed / mark_canceled (session, trip_id, *, by: BookingId, now) -> None
    append_event(session, trip_id, type, payload, *, actor_id=None, now) -> int   (the seq)
    trip_of(session, trip_id) -> Trip; member_of(session, trip_id, caller) -> Member | None; members(session, trip_id)
    decided_option(session, trip_id) -> TripOption | None; price_options(session, trip_id, for_member, *, now)
    join_by_share(session, trip_id, caller, *, name, now) -> Joined    (referrals; asks the visibility now in force)
    adopt_member(session, guest_id, person_id, *, now) -> list[Member]; replace_member is bookings' affair
    public_view(session, trip_id) -> PublicTrip | None; forget(session, person_id) -> None
Facts: trip.started, trip.decided, trip.reopened, trip.canceled, member.joined (via), member.left, vote.cast
"""

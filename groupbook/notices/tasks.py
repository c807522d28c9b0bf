"""What the worker runs for this room."""

from __future__ import annotations

from uuid import UUID

from groupbook.kit.ids import MerchantId, NoticeId
from groupbook.notices import service
from groupbook.notices.service import NoticeDeps


def send_notice(deps: NoticeDeps, merchant_id: UUID, notice_id: UUID) -> None:
    """Woken after a commit; the sweep stands behind it."""
    service.send(deps, MerchantId(merchant_id), NoticeId(notice_id))


def sweep_notices(deps: NoticeDeps, merchant_id: UUID) -> int:
    return service.sweep(deps, MerchantId(merchant_id))

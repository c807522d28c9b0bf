"""Who is behind a user agent: a person, a bot, or nobody who says so. Lists alone are wrong both ways.

The list is compiled once, when this module is loaded. People's in-app browsers that the list takes for bots are
excepted; preview fetchers that it does not know are added. Seen user agents of both kinds are tests.
"""

from __future__ import annotations

import re
from typing import Final

from crawlerdetect import CrawlerDetect

agent_characters_max: Final = 1_000

# Fetchers that the list misses: Viber sends its bare name, Meta's newer fetcher and Bluesky's card service too.
_FETCHERS: Final = re.compile(r"^viber\b|^bluesky/|meta-externalhit|meta-externalfetcher|\bcardyb\b", re.IGNORECASE)
# Desktop apps and phones of people that carry a bot's name inside a real browser's.
_PEOPLE: Final = re.compile(r"Slack_SSB/|Electron/|\bCUBOT|MetaIAB|FBAN/|FB_IAB|Instagram \d", re.IGNORECASE)
# iMessage pretends to be Safari and two bots at once; no in-app browser of Meta names its own fetcher.
_SURELY: Final = re.compile(r"facebookexternalhit|Facebot|Twitterbot", re.IGNORECASE)
_FAMILIES: Final = (
    ("instagram", "Instagram"),
    ("facebook", "FBAN|FBAV|FB_IAB|MetaIAB"),
    ("tiktok", "musical_ly|BytedanceWebview|TikTok"),
    ("wechat", "MicroMessenger"),
    ("line", r"\bLine/"),
    ("snapchat", "Snapchat"),
    ("pinterest", "Pinterest"),
    ("linkedin", "LinkedInApp"),
    ("telegram", "Telegram"),
    ("electron", "Electron/"),
    ("edge", r"\bEdgA?/|EdgiOS"),
    ("samsung", "SamsungBrowser"),
    ("opera", r"\bOPR/|OPiOS"),
    ("firefox", "Firefox/|FxiOS"),
    ("chrome", "Chrome/|CriOS"),
    ("safari", "Safari/"),
)
_COMPILED: Final = tuple((name, re.compile(pattern)) for name, pattern in _FAMILIES)
_LIST: Final = CrawlerDetect()
_LIST.is_crawler("compile now")


def classify(user_agent: str) -> tuple[str, str]:
    """(`person` | `bot` | `none`, family). The full text is not kept anywhere."""
    agent = user_agent[:agent_characters_max].strip()
    if not agent:
        return "none", "none"
    if _SURELY.search(agent) or _FETCHERS.search(agent):
        return "bot", "bot"
    if not _PEOPLE.search(agent) and _LIST.is_crawler(agent):
        return "bot", "bot"
    return "person", next((name for name, pattern in _COMPILED if pattern.search(agent)), "other")

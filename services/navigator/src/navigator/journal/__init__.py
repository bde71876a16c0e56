"""The navigator's journal: in Redis for every deployment, in memory for tests and pure in-process runs."""

from navigator.journal.memory import MemoryJournal as MemoryJournal
from navigator.journal.redis_journal import RedisJournal as RedisJournal

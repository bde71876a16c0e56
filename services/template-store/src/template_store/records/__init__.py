"""The records of the template libraries: in Redis for every deployment, in memory for tests and in-process runs."""

from template_store.records.memory import MemoryRecords as MemoryRecords
from template_store.records.naming import unique_name as unique_name
from template_store.records.redis_records import RedisRecords as RedisRecords

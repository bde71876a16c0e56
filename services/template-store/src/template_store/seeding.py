"""The library folder, taken over into the records at every start.

A folder and the records may both have changed since. What nobody edited follows its file; what somebody edited stays
as it is. Several replicas may do this at once: each write is made from the revision that was read, so only one of two
equal ones takes effect. The folder is the operator's own and is checked before it ships, so nothing is checked here.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator

from reasonflux.contracts import ChangeKind, TemplateChange, TemplateStatus, ThoughtTemplate
from reasonflux.observing import logger
from template_store.errors import NameTaken, RevisionConflict, TemplateExists
from template_store.ports import Draft, Records, Seed

GONE = "gone"
"""Stands for the digest of a file that is there no more."""
_BY = "library folder"


async def sync(records: Records, library: str, templates: Iterable[ThoughtTemplate]) -> Counter[str]:
    """Bring the library up to date with its folder. Returns how many were created, updated, retired and left alone."""
    files = {template.id: template for template in templates}
    held = {template.id: template for template in (await records.load(library)).templates}
    seeds = await records.seeds(library)
    done: Counter[str] = Counter()
    drafts = list(_drafts(files, held, seeds, done, library))
    # Names first become free, then are given anew: a file that was renamed keeps its template's name.
    drafts.sort(key=lambda draft: (draft.kind is not ChangeKind.RETIRED, draft.expected == 0))
    for draft, outcome in zip(drafts, await records.write(library, drafts), strict=True):
        if isinstance(outcome, TemplateChange):
            done["retired" if draft.kind is ChangeKind.RETIRED else "updated" if draft.expected else "created"] += 1
        elif isinstance(outcome, TemplateExists | RevisionConflict):
            done["written by another"] += 1  # another replica was faster, or somebody edited it just now
        else:
            _left(library, draft.template.id, str(outcome) if isinstance(outcome, NameTaken) else "it is gone", done)
    logger.info("library folder taken over", library=library, files=len(files), **done)
    return done


def _drafts(
    files: dict[str, ThoughtTemplate],
    held: dict[str, ThoughtTemplate],
    seeds: dict[str, Seed],
    done: Counter[str],
    library: str,
) -> Iterator[Draft]:
    for template_id, template in files.items():
        current, seed, digest = held.get(template_id), seeds.get(template_id), _digest(template)
        if current is None:
            yield Draft(template, ChangeKind.SEEDED, 0, _BY, "new file", digest)
        elif seed is None:
            _left(library, template_id, "it did not come from a file", done)
        elif seed.digest == digest:
            continue
        elif seed.revision != current.revision:
            _left(library, template_id, "its file changed, and it was edited", done)
        else:
            yield Draft(template, ChangeKind.SEEDED, current.revision, _BY, "its file changed", digest)
    for template_id, seed in seeds.items():
        current = held.get(template_id)
        if template_id in files or seed.digest == GONE or current is None:
            continue
        if seed.revision != current.revision:
            _left(library, template_id, "its file is gone, and it was edited", done)
        elif current.status is not TemplateStatus.RETIRED:
            retired = current.model_copy(update={"status": TemplateStatus.RETIRED})
            yield Draft(retired, ChangeKind.RETIRED, current.revision, _BY, "its file is gone", GONE)


def _left(library: str, template_id: str, reason: str, done: Counter[str]) -> None:
    done["left alone"] += 1
    logger.warning("template does not follow its file", library=library, template=template_id, reason=reason)


def _digest(template: ThoughtTemplate) -> str:
    """Tells whether a file says something else than before. What the contract fills in by itself does not count."""
    said = template.model_dump_json(exclude={"revision"}, exclude_defaults=True)
    return hashlib.sha256(said.encode()).hexdigest()[:24]

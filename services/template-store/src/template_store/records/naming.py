"""When two names are one."""

from reasonflux.contracts import TemplateStatus, ThoughtTemplate
from template_store.retrieval.ranking import fold


def unique_name(template: ThoughtTemplate) -> str:
    """What no two templates of a library may share; empty for a retired one, whose name is free to use.

    Case, spacing and punctuation do not count; a name without a Latin letter or digit is compared as it is written.
    """
    if template.status is TemplateStatus.RETIRED:
        return ""
    return fold(template.name) or " ".join(template.name.casefold().split())

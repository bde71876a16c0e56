"""Published weights by version, one of them current; going back is one move.

    <folder>/versions/<n>/        the weights as an engine loads them: a whole model, or a LoRA adapter
    <folder>/versions/<n>.json    what is known of them: scores, why they were published, what they took the place of
    <folder>/current              a link to one of the versions, switched in one move

An engine is given `<folder>/current`: as `--model`, or as `--lora-modules navigator=<folder>/current`. Where a plain
folder has to hold the weights, such as the one that is committed, it is kept a copy of the current version.
"""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from reasonflux.contracts import Contract
from reasonflux.errors import NotFound
from training.reporting.scores import Scores
from training.running.fingerprints import contents
from training.running.run_folder import held, partial, take_away


class Version(Contract):
    """One version of a role's weights."""

    number: int
    role: str
    digest: str
    """Of the folder's files."""
    reason: str
    replaced: int | None = None
    """The version that was current before it."""
    scores: Scores | None = None


@dataclass(frozen=True)
class Registry:
    """A role's published weights. `copy` is the plain folder that always holds the current version, if there is one."""

    folder: Path
    copy: Path | None = None

    @property
    def link(self) -> Path:
        return self.folder / "current"

    def versions(self) -> list[Version]:
        """All versions, oldest first."""
        found = (Version.model_validate_json(path.read_bytes()) for path in (self.folder / "versions").glob("*.json"))
        return sorted((one for one in found if self.at(one.number).is_dir()), key=lambda version: version.number)

    def current(self) -> Version | None:
        """The version that engines load."""
        if not self.link.is_symlink():
            return None
        number = int(self.link.readlink().name)
        return next((version for version in self.versions() if version.number == number), None)

    def before(self) -> Version | None:
        """The version that the current one took the place of: where `rollback` leads."""
        now = self.current()
        return next((version for version in self.versions() if now and version.number == now.replaced), None)

    def at(self, number: int) -> Path:
        return self.folder / "versions" / str(number)

    def adopted(self, role: str) -> Version | None:
        """The current version. What somebody else has put into the plain folder becomes a version first."""
        with held(self.folder):
            return self._adopted(role)

    def add(self, role: str, build: Callable[[Path], None], reason: str, scores: Scores | None = None) -> Version:
        """Make a version of what `build` writes into a folder, and switch to it. The same files again change nothing.

        What `build` raises leaves the current version as it was.
        """
        with held(self.folder):
            before = self._adopted(role)
            number = max((version.number for version in self.versions()), default=0) + 1
            fresh = partial(self.at(number))
            take_away(fresh)
            fresh.mkdir(parents=True)
            build(fresh)
            digest = contents(fresh)
            if before is not None and digest == before.digest:
                take_away(fresh)
                self._switch(before)
                return before
            version = Version(
                number=number,
                role=role,
                digest=digest,
                reason=reason,
                replaced=before.number if before else None,
                scores=scores,
            )
            self._keep(fresh, version)
            self._switch(version)
            return version

    def rollback(self) -> Version:
        """Go back to the version that the current one took the place of; what somebody else has put into the plain
        folder is kept as the current one first. Raises NotFound where there is none."""
        with held(self.folder):
            now = self.current()
            if now is not None:
                now = self._adopted(now.role)
            back = self.before()
            if back is None:
                raise NotFound(
                    f"{self.folder} has no version before {now.number if now else 'the first'}",
                    hint="publish other weights, or take older ones from version control",
                )
            self._switch(back)
            return back

    def _adopted(self, role: str) -> Version | None:
        now, copy = self.current(), self.copy
        if copy is None or not copy.is_dir() or not any(copy.iterdir()):
            return now
        known, digest = self.versions(), contents(copy)
        if any(version.digest == digest for version in known):
            return now
        number = max((version.number for version in known), default=0) + 1
        take_away(partial(self.at(number)))
        shutil.copytree(copy, partial(self.at(number)))
        replaced = now.number if now else None
        version = Version(number=number, role=role, digest=digest, reason=f"found in {copy.name}", replaced=replaced)
        self._keep(partial(self.at(number)), version)
        self._switch(version)
        return version

    def _keep(self, fresh: Path, version: Version) -> None:
        note = self.at(version.number).with_suffix(".json")
        partial(note).write_text(version.model_dump_json(indent=1) + "\n")
        partial(note).replace(note)
        take_away(self.at(version.number))
        fresh.rename(self.at(version.number))

    def _switch(self, version: Version) -> None:
        fresh = partial(self.link)
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(Path("versions") / str(version.number), target_is_directory=True)
        os.replace(fresh, self.link)
        if self.copy is not None and (not self.copy.is_dir() or contents(self.copy) != version.digest):
            self.copy.parent.mkdir(parents=True, exist_ok=True)
            take_away(partial(self.copy))
            shutil.copytree(self.at(version.number), partial(self.copy))
            take_away(
                self.copy
            )  # for a moment the plain folder is not there; engines that must not see that use the link
            partial(self.copy).rename(self.copy)

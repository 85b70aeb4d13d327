"""`data=prepared`: corpora that were prepared before, without their sources.

A folder is only read: nothing is written or locked in it or beside it, so that many jobs may share it on a
read-only file system. A URL is copied to the cache first (`RemoteCorpus`).
"""

from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.data.copy_corpus import RemoteCorpus
from hybrid_retrieval.data.parallel import MANIFEST, Manifest, read_manifest
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.sets import is_url
from hybrid_retrieval.errors import UserError


class PreparedSource:
    """A prepared corpus, in a folder or in object storage.

    Args:
        path: the folder that `prepare` prints, or a URL that fsspec knows.
        languages: those to use, or None for all; of a folder, all that it has.

    Raises:
        UserError: no path.
    """

    def __init__(self, path: str | None, languages: Sequence[str] | None = None) -> None:
        if not path:
            raise UserError(
                "data=prepared needs data.path=<the folder that `hybrid-retrieval prepare` prints>, or its "
                "copy's address such as s3://bucket/corpora/name."
            )
        self.path = path
        self._own = sorted(set(languages)) if languages is not None else None
        self._remote: RemoteCorpus | None = None

    @property
    def name(self) -> str:
        """Of the data set that was prepared."""
        return self.manifest().name

    def manifest(self) -> Manifest:
        """What `corpus.json` says; of a folder, every file is there at its full size.

        Raises:
            UserError: it is missing or damaged, of another version, or a file is not as it says.
        """
        if is_url(self.path):
            if self._remote is None:
                self._remote = RemoteCorpus.open(self.path)
            return self._remote.manifest
        folder = self._folder()
        if not (folder / MANIFEST).is_file():
            raise UserError(_no_corpus(folder, self.path))
        return read_manifest(folder)

    def languages(self) -> list[str]:
        """The languages to use, sorted.

        Raises:
            UserError: the corpus lacks one; or as `manifest`.
        """
        return self._chosen(self.manifest())

    def folder(
        self, cache: Path, languages: Sequence[str] | None, *, complete: bool, progress: Progress
    ) -> Path:
        """The corpus on a disk.

        Args:
            cache: the cache folder, for copies.
            languages: training languages, which alone are copied; None for all.
            complete: whether every triple must have all of them.
            progress: where to show copying.

        Returns:
            The folder, for `ParallelCorpus.open`.

        Raises:
            UserError: the corpus does not have what is asked for; or as `manifest` and `RemoteCorpus.copy`.
        """
        manifest = self.manifest()
        own = self._chosen(manifest)
        wanted = own if self._own is not None or languages is None else sorted(set(languages))
        if complete and not set(wanted) <= set(manifest.needed):
            had = f"for {', '.join(manifest.needed)}" if manifest.needed else "with data.join=any"
            raise UserError(
                f"data.join=complete asks for triples in all of {', '.join(wanted)}, but {self.path} was "
                f"prepared {had}. Set data.join=any, or prepare it again with data.join=complete."
            )
        if self._remote is not None:
            there = [code for code in wanted if code in manifest.languages]
            return self._remote.copy(there or own, cache, progress)
        if len(own) < len(manifest.languages):
            raise UserError(
                f"{self.path} is prepared in {', '.join(manifest.languages)}, and a prepared folder is used "
                "as it is: leave its own languages out (data.options.languages, or languages in data.sets). "
                "data.languages chooses the training languages of all data sets."
            )
        return self._folder()

    def _folder(self) -> Path:
        return Path(self.path).expanduser().absolute()

    def _chosen(self, manifest: Manifest) -> list[str]:
        if self._own is None:
            return list(manifest.languages)
        missing = sorted(set(self._own) - set(manifest.languages))
        if missing or not self._own:
            raise UserError(
                f"{self.path} has no data in {', '.join(missing) or 'an empty list of languages'}: it is "
                f"prepared in {', '.join(manifest.languages)}. Choose among them."
            )
        return self._own


def _no_corpus(folder: Path, path: str) -> str:
    if not folder.exists():
        return f"data.path={path} does not exist. Name the folder that `hybrid-retrieval prepare` prints."
    within = sorted(found.parent for found in folder.glob(f"*/{MANIFEST}"))
    within += sorted(found.parent for found in folder.glob(f"corpora/*/{MANIFEST}"))
    hint = f" These do: {', '.join(map(str, within[:10]))}." if within else ""
    return (
        f"data.path={path} is not a prepared corpus: it holds no {MANIFEST}. Name the folder that "
        f"`hybrid-retrieval prepare` prints.{hint}"
    )

"""Whether a configuration, or what belongs to it, is another one than the last time it was read."""

from .config.model import Config
from .signature import Signatures, signatures, size
from .sources import configuration, sources
from .watch import Watcher

POLL = 10.0  # seconds between two looks at everything: events can get lost


class Changes:
    """Knows the files that were read, as they were then."""

    def __init__(self, watcher: Watcher) -> None:
        self._config: Config | None = None
        self._known: Signatures = {}
        self._filled: set[str] = set()  # of the files of the configuration that is served
        self._watcher = watcher

    @property
    def matter(self) -> bool:
        """Whether the configuration that is served wants them noticed."""
        return self._config is not None and self._config.server.watch

    def reading(self) -> None:
        """All is about to be read, whatever comes of it: its present state is no news later on."""
        paths = sources(self._config)[0] if self._config else set()
        self._known = signatures(self._known.keys() | paths)

    def was_read(self, config: Config) -> None:
        """A configuration was read that may come to be served."""
        files, _ = sources(config)
        self._known |= signatures(files - self._known.keys())

    def tried(self, files: Signatures) -> None:
        """Files were read besides, in vain: when they are mended, it is worth another try."""
        self._known |= files
        self._watch()

    def served(self, config: Config, files: Signatures) -> None:
        """A configuration is served from now on, with files that were read besides."""
        self._config = config
        paths, _ = sources(config)
        self._known = {path: self._known.get(path) for path in paths} | files
        self._filled = {path for path in configuration(config) if size(self._known.get(path))}
        self._watch()

    @property
    def emptied(self) -> list[str]:
        """Files of the configuration that have nothing in them any more.

        To TOML that is as good as any other text. But a full disk leaves such files, and so does, until it
        comes to an end, a program whose output goes to ``> pad19.toml``.
        """
        return sorted(path for path, now in signatures(self._filled).items() if size(now) == 0)

    def knows(self, config: Config) -> bool:
        """Whether changes of its files are noticed."""
        return sources(config)[0] <= self._known.keys()

    def news(self) -> Signatures | None:
        """All files as they are now; None if it is not worth reading them again."""
        if self._config is None or not self.matter:
            return None
        paths, folders = sources(self._config)
        self._watcher.look_at(self._known, folders)  # of which there may be more, though without files yet
        found = signatures(paths | self._known.keys())
        return None if found == self._known else found

    def _watch(self) -> None:
        if self._config is None or not self.matter:
            self._watcher.look_at((), ())
            return
        _, folders = sources(self._config)
        self._watcher.look_at(self._known, folders)

"""How the files of a routes folder are imported.

The folder is never in `sys.path`, so nothing in it can stand in for another module (see `naming`).
Its files are compiled anew each time: bytecode is told apart by seconds and a size, so two edits within
a second could look alike, and the folder may not be ours to write to.
"""

from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

INIT = "__init__.py"


class Finder(MetaPathFinder):
    """Finds what is below a private package, and notes which files these are."""

    def __init__(self, private: str, folder: Path, files: set[Path]) -> None:
        self._private = private
        self._folder = folder
        self._files = files

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The protocol of ``sys.meta_path``."""
        if fullname == self._private:
            spec = self._package()
        elif fullname.startswith(f"{self._private}."):
            finders = (FileFinder(entry, (_Loader, [".py"])) for entry in path or ())
            spec = next(filter(None, (finder.find_spec(fullname) for finder in finders)), None)
        else:
            return None
        if spec and spec.origin:
            self._files.add(Path(spec.origin))
        return spec

    def _package(self) -> ModuleSpec | None:
        """The folder itself, whether it has a file for that or not."""
        places = [str(self._folder)]
        file = self._folder / INIT
        if file.is_file():
            loader = _Loader(self._private, str(file))
            return spec_from_file_location(
                self._private, file, loader=loader, submodule_search_locations=places
            )
        spec = ModuleSpec(self._private, None, is_package=True)
        spec.submodule_search_locations = places
        return spec


class _Loader(SourceFileLoader):
    """Neither reads nor writes bytecode."""

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

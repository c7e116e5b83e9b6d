"""Routes from the files of a folder, and from installed packages.

A file is plugged in by being there: ``guestbook.py`` answers below ``/guestbook``, ``index.py`` below
``/``, and a package ``blog/__init__.py`` below ``/blog``. What begins with ``_`` or ``.`` is not
mounted: such a file has what others need, ``from ._helpers import entries``. What is installed is
mounted only where the configuration says so: a package that came along as a dependency of another
must not open pages in a capsule.

The folder is never in `sys.path`, so nothing in it can stand in for another module (see `naming`).
Its files are compiled anew each time: bytecode is told apart by seconds and a size, so two edits within
a second could look alike, and the folder may not be ours to write to.

All of this happens once, in a fresh process: nothing is ever loaded again.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType

from pad19.protocol.uri import percent_encode

from .broken import BrokenModule
from .interface import RouteError
from .naming import package_of
from .table import Routes

ENTRY_POINTS = "pad19.routes"  # the group where packages name their routes
INDEX = "index"
_INIT = "__init__.py"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the code of a capsule declares."""

    routes: Routes
    files: tuple[Path, ...]  # of the folder, as far as they were read; mounted or not


class LoadError(Exception):
    """There are modules that cannot be mounted. ``problems``: a sentence for each mistake."""

    def __init__(self, broken: Sequence[BrokenModule], files: tuple[Path, ...]) -> None:
        self.broken = tuple(broken)
        self.files = files  # as in `Loaded`
        self.problems = tuple(dict.fromkeys(map(str, broken)))  # by an import, modules can share a mistake
        super().__init__("\n".join(self.problems))


def load(
    folder: Path | None,
    mounts: Mapping[str, str],
    *,
    package: str,
    on_broken: Callable[[BrokenModule], Routes] | None = None,
) -> Loaded:
    """Import all that is to be mounted, which runs it.

    Args:
        folder: Of route files.
        mounts: Paths, and what answers below them: ``"package.module:routes"``, or the name of an
            entry point of the group ``pad19.routes``.
        package: A word that no other capsule has.
        on_broken: Is told of each module that cannot be mounted, and gives the routes for its place.

    Raises:
        LoadError: Modules cannot be mounted, and there is no ``on_broken``.
        RouteError: Nothing can be mounted at a path, not even what ``on_broken`` gives.
        ValueError: The word is none, or was used before.
    """
    private = package_of(package)
    if private in sys.modules:
        raise ValueError(f"{package!r} was used before")
    files: set[Path] = set()
    parts: list[_Part] = []
    if folder is not None:
        folder = folder.absolute()
        sys.meta_path.insert(0, _Finder(private, folder, files))
        parts += _modules(private, folder)
    for prefix, target in mounts.items():
        parts.append(_Part(prefix, partial(_mounted, target), mount=f'capsule.mount "{prefix}" = "{target}"'))
    root = Routes()
    broken: list[BrokenModule] = []
    for part in parts:
        try:
            root.include(part.load(), part.prefix)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also exit(), which must not end the process
            broken.append(BrokenModule(part.prefix, part.file, part.mount, error))
    instead: dict[str, Routes] = {}
    for module in broken:
        if on_broken is None:
            raise LoadError(broken, tuple(sorted(files)))
        instead.setdefault(module.prefix.rstrip("/"), on_broken(module))
    for prefix, routes in instead.items():
        root.include(routes, prefix)
    return Loaded(root, tuple(sorted(files)))


@dataclass(frozen=True, slots=True)
class _Part:
    """Something to mount: a file, or what the configuration names."""

    prefix: str
    load: Callable[[], Routes]
    file: Path | None = None
    mount: str | None = None


def _modules(private: str, folder: Path) -> Iterator[_Part]:
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.name[0] not in "_."]
        packages = {path.name for path in paths if (path / _INIT).is_file()}
    except OSError as error:
        yield _Part("", partial(_refuse, f"it cannot be read ({error.strerror})"), folder)
        return
    for path in paths:
        is_package = path.name in packages
        if not is_package and path.suffix != ".py":
            continue
        name = path.name if is_package else path.stem
        file = path / _INIT if is_package else path
        try:
            prefix = "" if name == INDEX else f"/{percent_encode(name)}"
        except UnicodeEncodeError:
            yield _Part("", partial(_refuse, "its name is not UTF-8: rename it"), file)
            continue
        load = partial(_routes_of, f"{private}.{name}")
        if "." in name:
            load = partial(_refuse, "its name has a dot, which no module has: rename it")
        elif not is_package and name in packages:
            load = partial(_refuse, f"there is {name}/{_INIT} too: remove one of them")
        yield _Part(prefix, load, file)


def _refuse(problem: str) -> Routes:
    raise RouteError(problem)


def _routes_of(name: str) -> Routes:
    routes = getattr(import_module(name), "routes", None)
    if routes is None:
        raise RouteError(
            "it has no routes: write routes = Routes(), or begin its name with _ to mount nothing"
        )
    return _checked(routes, "its routes are")


def _mounted(target: str) -> Routes:
    if ":" not in target:
        target = _entry_point(target)
    name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in (*name.split("."), *attribute.split("."))):
        raise RouteError('it must be "package.module:routes", or the name of an entry point')
    module: object = import_module(name)
    try:
        routes = reduce(getattr, attribute.split("."), module)
    except AttributeError:
        raise RouteError(f"{name} has no {attribute}") from None
    return _checked(routes, f"{attribute} is")


def _entry_point(name: str) -> str:
    """What an installed package says that it is."""
    from importlib.metadata import entry_points  # costs 20 ms, which most need not pay

    group = entry_points(group=ENTRY_POINTS)
    targets = {point.value for point in group.select(name=name)}
    if len(targets) == 1:
        return targets.pop()
    if targets:
        which = ", ".join(sorted(targets))
        raise RouteError(f"entry points of several packages have that name: write which one, of {which}")
    known = f"there are {', '.join(sorted(group.names))}" if group.names else "there is none"
    raise RouteError(
        f"it is no entry point in the group {ENTRY_POINTS}, where {known}: install the package that has it, "
        'or write "package.module:routes"'
    )


def _checked(routes: object, what: str) -> Routes:
    if not isinstance(routes, Routes):
        raise RouteError(
            f"{what} of the type {type(routes).__name__}: make it Routes, as in routes = Routes()"
        )
    return routes


class _Finder(MetaPathFinder):
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
        file = self._folder / _INIT
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

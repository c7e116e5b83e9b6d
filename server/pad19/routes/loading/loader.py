"""Routes from the files of a folder, and from installed packages.

A file is plugged in by being there: ``guestbook.py`` answers below ``/guestbook``, ``index.py`` below
``/``, and a package ``blog/__init__.py`` below ``/blog``. What begins with ``_`` or ``.`` is not
mounted: such a file has what others need, ``from ._helpers import entries``. What is installed is
mounted only where the configuration says so: a package that came along as a dependency of another
must not open pages in a capsule.

All of this happens once, in a fresh process: nothing is ever loaded again.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from importlib import import_module
from pathlib import Path
from typing import Self

from pad19.protocol.uri import percent_encode
from pad19.routes.interface import Lifespan, RouteError
from pad19.routes.naming import package_of
from pad19.routes.paths import by_path
from pad19.routes.table import Routes, declared

from .broken import BrokenModule
from .finder import INIT, Finder
from .slow_import import log_slow_imports

ENTRY_POINTS = "pad19.routes"  # the group where packages name their routes
INDEX = "index"


OnBroken = Callable[[BrokenModule], Routes]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the code of a capsule declares."""

    modules: "tuple[_Module, ...]"
    files: tuple[Path, ...]  # of the folder, as far as they were read; mounted or not

    @property
    def routes(self) -> Routes:
        """All together."""
        return _joined(module.routes for module in self.modules)

    def without(self, lifespan: Lifespan, error: BaseException, on_broken: OnBroken) -> "Loaded":
        """The same with other routes in the place of the module whose lifespan cannot begin."""
        part = next(m.part for m in self.modules if lifespan in declared(m.routes).lifespans)
        modules = [module for module in self.modules if module.part is not part]
        return Loaded(_with_instead(modules, [part.broken(error)], on_broken), self.files)


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
    on_broken: OnBroken | None = None,
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
        sys.meta_path.insert(0, Finder(private, folder, files))
        parts += _modules(private, folder)
    for prefix, target in mounts.items():
        parts.append(_Part(prefix, partial(_mounted, target), mount=f'capsule.mount "{prefix}" = "{target}"'))
    modules: list[_Module] = []
    broken: list[BrokenModule] = []
    with log_slow_imports(__file__):
        for part in parts:
            try:
                modules.append(_Module.of(part))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # also exit(), which must not end the process
                broken.append(part.broken(error))
    modules, conflicts = _told_apart(modules)
    broken += conflicts
    read = tuple(sorted(files))
    if not broken:
        return Loaded(tuple(modules), read)
    if on_broken is None:
        raise LoadError(broken, read)
    return Loaded(_with_instead(modules, broken, on_broken), read)


@dataclass(frozen=True, slots=True)
class _Part:
    """Something to mount: a file, or what the configuration names."""

    prefix: str
    load: Callable[[], Routes]
    file: Path | None = None
    mount: str | None = None

    def broken(self, error: BaseException) -> BrokenModule:
        """It cannot be mounted."""
        return BrokenModule(self.prefix, self.file, self.mount, error)


@dataclass(frozen=True, slots=True)
class _Module:
    """Something that can be mounted, as far as others let it."""

    part: _Part
    routes: Routes  # with the prefix

    @classmethod
    def of(cls, part: _Part, routes: Routes | None = None) -> Self:
        """Load it, or mount these in its place. Raises whatever the code raises, and RouteError."""
        placed = Routes()
        placed.include(part.load() if routes is None else routes, part.prefix)
        _check([placed])
        return cls(part, placed)


def _joined(parts: Iterable[Routes]) -> Routes:
    root = Routes()
    for routes in parts:
        root.include(routes)
    return root


def _check(parts: Iterable[Routes]) -> None:
    by_path(declared(_joined(parts)).routes, lambda route: route)


def _told_apart(modules: Sequence[_Module]) -> tuple[list[_Module], list[BrokenModule]]:
    """Those that can be mounted together, and those that answer the same paths as one before them."""
    try:
        _check(module.routes for module in modules)
    except RouteError:
        pass
    else:
        return [*modules], []
    together: list[_Module] = []
    broken: list[BrokenModule] = []
    for module in modules:
        try:
            _check(each.routes for each in (*together, module))
        except RouteError as error:
            broken.append(module.part.broken(error))
        else:
            together.append(module)
    return together, broken


def _with_instead(
    modules: Sequence[_Module], broken: Iterable[BrokenModule], on_broken: OnBroken
) -> tuple[_Module, ...]:
    """These, and what is mounted in the place of others: once at each, and where nothing has those paths."""
    instead: dict[str, _Module] = {}
    for module in broken:
        part = _Part(module.prefix, Routes, module.file, module.mount)
        instead.setdefault(module.prefix.rstrip("/"), _Module.of(part, on_broken(module)))
    fitting, _ = _told_apart([*modules, *instead.values()])
    return tuple(fitting)


def _modules(private: str, folder: Path) -> Iterator[_Part]:
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.name[0] not in "_."]
        packages = {path.name for path in paths if (path / INIT).is_file()}
    except OSError as error:
        yield _Part("", partial(_refuse, f"it cannot be read ({error.strerror})"), folder)
        return
    for path in paths:
        is_package = path.name in packages
        if not is_package and path.suffix != ".py":
            continue
        name = path.name if is_package else path.stem
        file = path / INIT if is_package else path
        try:
            prefix = "" if name == INDEX else f"/{percent_encode(name)}"
        except UnicodeEncodeError:
            yield _Part("", partial(_refuse, "its name is not UTF-8: rename it"), file)
            continue
        load = partial(_routes_of, f"{private}.{name}")
        if "." in name:
            load = partial(_refuse, "its name has a dot, which no module has: rename it")
        elif not is_package and name in packages:
            load = partial(_refuse, f"there is {name}/{INIT} too: remove one of them")
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

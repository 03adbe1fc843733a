"""References to functions and classes that a program passes as they are."""

from collections.abc import Callable
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from typing import Any

from kdtune.storage.files import replaced_atomically
from kdtune.storage.paths import cache_dir

#: Prefix of references to pickled functions and classes.
PICKLE = "pickle"


def reference_to(component: Callable[..., Any]) -> str:
    """Return a reference under which other processes find a function or a class.

    Whatever its module defines at the top level is referred to as ``package.module:NAME``. Anything else, such as a
    function of a notebook or of a script, is pickled by value into the cache.

    Raises:
        ValueError: It cannot be pickled.
    """
    module, name = getattr(component, "__module__", None), getattr(component, "__qualname__", "")
    if module not in (None, "__main__") and "<locals>" not in name:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part, None)
        if found is component:
            return f"{module}:{name}"
    return f"{PICKLE}:{_pickled(component)}"


def _pickled(component: Callable[..., Any]) -> Path:
    import cloudpickle

    try:
        content = cloudpickle.dumps(component)
    except Exception as error:  # any error of any object's own pickling
        raise ValueError(f"{component!r} cannot be pickled ({error}); define it in a module of its own") from None
    name = getattr(component, "__name__", type(component).__name__)
    path = cache_dir() / "components" / f"{name}-{sha256(content).hexdigest()[:16]}.pkl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced_atomically(path) as file:
            file.write(content)
    return path


class _Pickles:
    """The scheme of pickled functions and classes, which are identified by their content."""

    def identify(self, name: str) -> str:
        """Return a digest of a file.

        Raises:
            ValueError: The file cannot be read.
        """
        try:
            return sha256(Path(name).read_bytes()).hexdigest()[:16]
        except OSError as error:
            raise ValueError(
                f"{name}: cannot be read ({error.strerror}); begin the study anew in the program that defines "
                "the component"
            ) from None

    def load(self, name: str) -> Any:
        """Return the function or class that a file holds."""
        import cloudpickle

        return cloudpickle.loads(Path(name).read_bytes())


PICKLES = _Pickles()

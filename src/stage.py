"""Run one stage with the code beside this file: `python src/stage.py clean`.

DVC runs a queued experiment in a copy of what Git tracks. The installed package would import the
original's modules there, edited since or not; this file's own folder comes first on Python's
path, so that an experiment runs the code it was queued with.
"""

import gc
import importlib
import os
import re
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parent


def main() -> None:
    """Run the stage named on the command line; say which of our modules is absent, if one is."""
    if len(sys.argv) != 2:
        sys.exit("whoswho: src/stage.py: name one stage of dvc.yaml, as in `src/stage.py clean`")
    # torch and MLflow make a million objects that stay; by default the collector walks them so
    # often that it takes a quarter of the time a stage needs to start.
    gc.set_threshold(20_000, 100, 100)
    # Experiments run side by side: a thread that waits must not hold the core another one needs.
    # Two evaluations at once on two cores take half the time by it, one alone no longer.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        from whoswho.errors import one_line_errors

        with one_line_errors():
            importlib.import_module(f"whoswho.stages.{sys.argv[1]}").main()
    except ImportError as error:
        file = absent_module(error)
        if file is None:
            raise
        print(
            f"whoswho: {file}: not there; a queued experiment runs in a copy of what Git tracks: "
            f"`git add {file}`, then queue it again",
            file=sys.stderr,
        )
        sys.exit(2)
    finally:
        # At its end Python looks through them all once more, for nearly a second.
        gc.freeze()


def absent_module(error: ImportError) -> str | None:
    """The file of ours that an import did not find; None where something else is wrong."""
    name = error.name or ""
    # `from whoswho.room import module` names the room alone.
    if imported := re.match(r"cannot import name '(\w+)' from '([\w.]+)'", str(error)):
        name = f"{imported[2]}.{imported[1]}"
    file = Path("src", *name.split(".")).with_suffix(".py")
    inside = file.parts[1:2] == ("whoswho",) and (SOURCE.parent / file.parent).is_dir()
    return file.as_posix() if inside and not (SOURCE.parent / file).exists() else None


if __name__ == "__main__":
    main()

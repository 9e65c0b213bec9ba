"""Run one stage with the code beside this file: `python src/stage.py clean`.

DVC runs a queued experiment in a copy of what Git tracks. The installed package would import the
original's modules there, edited since or not; this file's own folder comes first on Python's
path, so that an experiment runs the code it was queued with.
"""

import runpy
import sys


def main() -> None:
    """Run the stage named on the command line; say which of our modules is absent, if one is."""
    if len(sys.argv) != 2:
        sys.exit("whoswho: src/stage.py: name one stage of dvc.yaml, as in `src/stage.py clean`")
    try:
        runpy.run_module(f"whoswho.stages.{sys.argv[1]}", run_name="__main__", alter_sys=True)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("whoswho"):
            raise
        where = f"src/{(error.name or '').replace('.', '/')}.py"
        print(
            f"whoswho: {where}: not there; a queued experiment runs in a copy of what Git "
            f"tracks: `git add {where}`, then queue it again",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()

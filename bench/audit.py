"""`python -m bench.audit`: known holes in the versions of constraints.txt, for CI's log.

pip-audit (extra `audit`) asks a service, which may be out of reach: then one line says "not
audited" and why. Holes are printed and end nothing: a new one somewhere is no fault of a change.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from bench.workspace import REPOSITORY

WITHIN_S = 120
COMMAND = (
    sys.executable, "-m", "pip_audit", "--requirement", "constraints.txt", "--no-deps",
    "--disable-pip", "--progress-spinner", "off", "--timeout", "10", "--format", "json",
)  # fmt: skip
INSTALL = "python -m pip install -c constraints.txt -e '.[audit]'"


def report(command: Sequence[str] = COMMAND, within: float = WITHIN_S) -> list[str]:
    """What pip-audit says of the pinned versions, or why it says nothing; in lines."""
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=within, check=False
        )
        versions = json.loads(done.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return [f"not audited: no answer within {within:g} s"]
    except ValueError:
        errors = done.stderr.strip().splitlines() or [f"pip-audit ended in code {done.returncode}"]
        return [f"not audited: {errors[-1]}"]
    known = [each for each in versions if "skip_reason" not in each]
    if not known:
        return [f"not audited: the service knows none of {len(versions)} packages"]
    lines = [
        f"{each['name']} {each['version']}: {hole['id']}, mended in "
        f"{', '.join(hole['fix_versions']) or 'no version'}"
        for each in known
        for hole in each["vulns"]
    ]
    unknown = len(versions) - len(known)
    holes = f"{len(lines)} known holes" if lines else "no known hole"
    return [*lines, f"{len(known)} versions audited: {holes}; {unknown} unknown to the service"]


def main() -> None:
    """Print the report."""
    installed = find_spec("pip_audit") is not None
    absent = [f"not audited: pip-audit is not installed ({INSTALL})"]
    print("\n".join(report() if installed else absent))


if __name__ == "__main__":
    main()

"""Programs in namespaces of their own, where a test may change the machine."""

import subprocess

import pytest


def isolated(script: str, *options: str) -> list[str]:
    """What starts a program in new namespaces, after a script there. Skips where that cannot be.

    ``options``: of unshare(1), which namespaces.
    """
    found = ["unshare", *options, "sh", "-ec", f'{script}\nexec "$@"', "sh"]
    try:
        done = subprocess.run([*found, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("unshare(1) is not installed")
    if done.returncode:
        pytest.skip(f"not possible here: {done.stderr.strip()}")
    return found

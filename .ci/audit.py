"""Look up known vulnerabilities of pinned versions, and say so plainly where they could not be looked up.

    audit.py <pip-audit> <requirements file>...

pip-audit ends with "No known vulnerabilities found" and status 0 when the database knows none of the
packages, as with a mirror of the index that serves files alone. Exit status here: 0, all were looked up and
none is known to be vulnerable; 1, some are; 3, the databases were not reached, or not for all packages.
"""

import json
import subprocess
import sys
from typing import Any

SERVICES = {"osv": "https://api.osv.dev", "pypi": "https://pypi.org"}
VULNERABLE, NOT_AUDITED = 1, 3


def look_up(program: str, files: list[str], service: str) -> tuple[list[dict[str, Any]], str]:
    """What pip-audit says of each package, or no packages and why it says nothing."""
    command = [program, "--format", "json", "--no-deps", "--disable-pip", "--progress-spinner", "off"]
    command += ["--vulnerability-service", service]
    for file in files:
        command += ["--requirement", file]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
        packages: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (OSError, subprocess.TimeoutExpired) as error:
        return [], str(error)
    except (ValueError, KeyError, TypeError):
        return [], (done.stderr.strip().splitlines() or ["no output"])[-1]
    return packages, ""


def main(program: str, files: list[str]) -> int:
    """Audit; the exit status."""
    say = sys.stdout.write
    known: dict[str, set[str]] = {}
    audited: dict[str, bool] = {}
    for service, address in SERVICES.items():
        packages, failure = look_up(program, files, service)
        if failure:
            say(f"{address} was not reached: {failure}\n")
        for package in packages:
            looked_up = "vulns" in package
            audited[package["name"]] = audited.get(package["name"], False) or looked_up
            for found in package.get("vulns", ()):
                fixed = ", ".join(found["fix_versions"]) or "no version yet"
                line = f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"
                known.setdefault(line, set()).add(service)
    for line in sorted(known):
        say(f"VULNERABLE {line}\n")
    missed = sorted(name for name, looked_up in audited.items() if not looked_up)
    say(f"{len(audited) - len(missed)} packages were looked up, {len(known)} vulnerabilities are known.\n")
    if missed or not audited:
        which = f"{len(missed)} packages ({', '.join(missed[:5])}, ...)" if missed else "all packages"
        say(
            f"NOT AUDITED: {which}: the databases do not answer for them. Run `make audit` where "
            f"{' or '.join(SERVICES.values())} can be reached; this is no statement that there are none.\n"
        )
    return VULNERABLE if known else NOT_AUDITED if missed or not audited else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))

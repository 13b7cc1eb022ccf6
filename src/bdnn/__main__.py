"""``bdnn`` and ``python -m bdnn``: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit; Ctrl-C while its modules are imported is answered in one line, as later.

    Raises
    ------
    SystemExit
        Always, with the exit code.
    """
    try:
        from bdnn import cli
    except KeyboardInterrupt:
        sys.stderr.write("bdnn: error: stopped by Ctrl-C before there was a result\n")
        raise SystemExit(1) from None
    cli.main()


if __name__ == "__main__":
    main()

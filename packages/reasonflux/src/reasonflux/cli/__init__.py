"""The command line: `reasonflux --help`.

Exit codes: 0 done · 1 a service or engine said no · 2 usage or a setting that does not fit · 3 not solved (demo: not
all right) · 10–20 the embedded stack cannot run here (see `reasonflux.local.errors`) · 130 stopped with Ctrl-C.
"""


def main() -> None:
    """The console script."""
    from reasonflux.cli.app import run

    run()

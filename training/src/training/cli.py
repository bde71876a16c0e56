"""`reasonflux train …`"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Train navigator and executor weights.", no_args_is_help=True)

Config = Annotated[Path, typer.Option(help="a file of training/configs")]


@app.callback()
def main() -> None:
    """Train navigator and executor weights."""


@app.command()
def tiny(
    config: Config = Path("training/configs/tiny-cpu.yaml"),
    library: Annotated[Path, typer.Option(help="template library")] = Path("services/template-store/library"),
    runs: Annotated[Path, typer.Option(help="where checkpoints and curves go")] = Path("training/runs"),
    models: Annotated[Path, typer.Option(help="where the weights are published")] = Path("models/reasonflux-tiny"),
) -> None:
    """Train the shipped demonstration weights from scratch on two CPU cores; goes on where it stopped."""
    from training import tiny as stage  # torch is slow to import: only when it is needed

    stage.run(config, library, runs, models)

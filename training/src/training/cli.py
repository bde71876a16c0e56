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


@app.command()
def evaluate(
    navigator: Annotated[Path, typer.Option(help="its weights, or its folder in a run that still trains")] = Path(
        "models/reasonflux-tiny/navigator"
    ),
    executor: Annotated[Path, typer.Option(help="its weights, or its folder in a run that still trains")] = Path(
        "models/reasonflux-tiny/executor"
    ),
    limit: Annotated[int, typer.Option(min=1, help="held-out problems, balanced over the depths")] = 200,
    depth: Annotated[str, typer.Option(help="numbers of steps, such as 1,2,3")] = "1,2,3",
    seed: Annotated[int, typer.Option(help="another seed gives other problems")] = 0,
    examples: Annotated[int, typer.Option(min=0, help="errors shown of each kind")] = 3,
    config: Config = Path("training/configs/tiny-cpu.yaml"),
    library: Annotated[Path, typer.Option(help="template library")] = Path("services/template-store/library"),
) -> None:
    """Try trained weights on held-out problems without any server, and list their errors by kind."""
    from rich.console import Console

    from training import evaluate as stage
    from training import greedy, tiny

    depths = tuple(int(part) for part in depth.split(","))
    roles = greedy.speaker("navigator", navigator, config), greedy.speaker("executor", executor, config)
    found = stage.run(*roles, tiny.read_library(library), depths, limit, seed)
    stage.show(Console(highlight=False), found, examples)

"""`reasonflux eval …`"""

from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from evaluation.ladder import Split
from evaluation.opening import Places, Settings
from evaluation.questions import BenchmarkQuestions, LadderQuestions
from evaluation.running import RESULTS, finish, out, start
from evaluation.runs import Chains, Journal, RunSpec, read
from evaluation.solving.model import Limits
from evaluation.strategies.catalogue import AnyStrategy, parse
from evaluation.strategies.reasonflux import ReasonFlux
from evaluation.studies.libraries import HELD_FAMILIES
from reasonflux.cli.app import navigator_url, wait_for
from reasonflux.contracts import Effort
from reasonflux.errors import InvalidRequest

LADDER_LIMIT = 100


class Commands(TyperGroup):
    """What is no command is a benchmark: `reasonflux eval math500 …`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            args = ["run", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    help="Measure on problems with known answers: `reasonflux eval BENCH --strategy …`. BENCH is ladder, math500, "
    "aime2024, aime2025, amc2023, olympiadbench, gaokao2023en, gsm8k, a JSONL file, or hub:owner/set@split; "
    "`reasonflux eval ladder --help` tells the options.",
)  # fmt: skip

SplitOption = Annotated[Split, typer.Option(help="ladder: heldout is for measuring; train only to compare with it")]
DepthOption = Annotated[str, typer.Option("--depth", help="ladder: numbers of steps, such as 1,2,3")]
FamiliesOption = Annotated[str, typer.Option(help="ladder: only these families, such as gcd,lcm; default: all")]
SeedOption = Annotated[int, typer.Option(help="of the problems that are asked and of everything sampled")]


@app.callback()
def main() -> None:
    """Measure on problems with known answers."""


@app.command(hidden=True)
def run(
    bench: Annotated[str, typer.Argument(help="ladder, a benchmark's name, a JSONL file, or hub:owner/set@split")],
    strategy: Annotated[
        str, typer.Option(help="direct, majority@8, best_of_n@8, beam@4, mcts@16, reasonflux, executor; options follow "
        "a colon: direct:calculator=true, best_of_n@8:judge=prm, reasonflux:templates=oracle")
    ] = "reasonflux",
    limit: Annotated[int | None, typer.Option(min=0, help="how many problems; default: all, of the ladder 100")] = None,
    samples: Annotated[int, typer.Option("--samples", "-k", min=1, help="attempts at each, for avg@k and pass@k")] = 1,
    engine: Annotated[str | None, typer.Option(help="an OpenAI-compatible server with /v1; for the baselines")] = None,
    model: Annotated[str | None, typer.Option(help="its model; default: the only one that it offers")] = None,
    temperature: Annotated[float, typer.Option(min=0, max=2, help="of what is sampled; one sample is greedy")] = 0.7,
    max_tokens: Annotated[int, typer.Option(min=1, help="of a whole solution")] = 2048,
    step_tokens: Annotated[int, typer.Option(min=1, help="of one step, and of a judgement")] = 512,
    call_timeout: Annotated[float | None, typer.Option(min=1, help="seconds for one call of the engine")] = None,
    chains: Annotated[
        Chains, typer.Option(help="who writes solutions: the engine by chat, the executor (our weights), our service "
        "one trajectory each, or nobody anew (--recorded)")
    ] = "chat",
    recorded: Annotated[Path | None, typer.Option(help="a result file whose solutions are taken")] = None,
    prm: Annotated[str | None, typer.Option(help="a reward model behind vLLM's /pooling, for judge=prm")] = None,
    prm_model: Annotated[str, typer.Option(help="its name there")] = "prm",
    json: Annotated[
        Path | None, typer.Option(help="the report; Markdown, plots and the result file (.jsonl) are written beside it")
    ] = None,
    resume: Annotated[Path | None, typer.Option(help="go on with this result file, with its own options")] = None,
    seed: SeedOption = 0,
    concurrency: Annotated[int, typer.Option(min=1, help="problems solved at the same time")] = 8,
    data: Annotated[
        Path | None, typer.Option(help="the benchmarks' folder; default: REASONFLUX_BENCHMARKS, ../shared/benchmarks")
    ] = None,
    plots: Annotated[bool, typer.Option(help="draw plots beside the report")] = True,
    split: SplitOption = Split.HELDOUT,
    depth: DepthOption = "1,2,3",
    families: FamiliesOption = "",
    outside: Annotated[int, typer.Option(min=0, help="ladder: further problems that no template solves")] = 0,
    effort: Annotated[Effort, typer.Option(help="reasonflux: how hard to try")] = Effort.MEDIUM,
    horizon: Annotated[int | None, typer.Option(min=1, help="reasonflux: steps planned at a time")] = None,
    review: Annotated[bool, typer.Option(help="reasonflux: let the navigator read every result")] = True,
    templates: Annotated[bool, typer.Option(help="reasonflux: retrieve thought templates")] = True,
    navigator: Annotated[str | None, typer.Option("--navigator-url", help="default: the running stack's")] = None,
    executor_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_EXECUTOR_URL")] = None,
    template_store_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_TEMPLATE_STORE_URL")] = None,
) -> None:  # fmt: skip
    """Solve a benchmark's problems by a strategy, and report. A killed run goes on with --resume."""
    if resume is not None and json is not None:
        raise InvalidRequest("--resume and --json exclude each other", hint="--resume FILE appends to FILE")
    questions = _ladder(split, depth, limit, families, outside, seed) if bench == "ladder" else None
    switches = {"effort": effort, "horizon": horizon, "review": review, "templates": templates}
    limits = Limits(temperature=temperature, max_tokens=max_tokens, step_tokens=step_tokens, timeout=call_timeout)
    places = _places(navigator, executor_url, template_store_url, prm, prm_model)

    async def work() -> int:
        if resume is not None:
            return await finish(Journal.resume(resume), places, concurrency, plots=plots)
        spec = RunSpec(
            questions=questions or BenchmarkQuestions.find(bench, data=data, limit=limit or None, seed=seed),
            strategy=_strategy(strategy, switches), samples=samples, seed=seed, limits=limits,
            chains="recorded" if recorded else chains, recorded=recorded and str(recorded),
        )  # fmt: skip
        return await start(spec, json and json.with_suffix(".jsonl"), places, concurrency, engine, model, plots=plots)

    wait_for(work())


@app.command("show")
def show_file(
    file: Annotated[Path, typer.Argument(help="a result file")],
    markdown: Annotated[bool, typer.Option(help="print Markdown, with the failures")] = False,
) -> None:
    """Print the report of a stored run again."""
    from evaluation import report
    from evaluation.running import show

    found = report.report(*read(file))
    if markdown:
        typer.echo(report.markdown(found), nl=False)
    else:
        show(out, found)


@app.command()
def problems(
    split: SplitOption = Split.HELDOUT,
    limit: Annotated[int, typer.Option(min=1, help="how many")] = 5,
    depth: DepthOption = "2",
    seed: SeedOption = 0,
    families: FamiliesOption = "",
) -> None:
    """Print example problems of the ladder with their gold trajectories."""
    from evaluation.ladder import generate
    from evaluation.running import show_problem

    asked = _ladder(split, depth, 0, families, 0, seed)
    asked.tasks()  # refuses depths and families that do not exist
    for problem in islice(generate(split, asked.depths, seed=seed, families=asked.families or None), limit):
        show_problem(out, problem)


@app.command()
def study(
    file: Annotated[Path, typer.Argument(help="a study: YAML with questions and strategies")],
    to: Annotated[Path, typer.Option(help="where its result files go")] = RESULTS / "studies",
    reports: Annotated[Path, typer.Option(help="where its reports are kept")] = Path("evaluation/reports"),
    engine: Annotated[str | None, typer.Option(help="the engine of the baselines, with /v1")] = None,
    model: Annotated[str | None, typer.Option(help="its model")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="problems solved at the same time")] = 4,
    only: Annotated[str, typer.Option(help="only these runs of it, with commas between them")] = "",
    scale: Annotated[float, typer.Option(min=0.001, max=1, help="the part of the problems that is asked")] = 1.0,
    dry_run: Annotated[bool, typer.Option(help="only say what would be done and what is left")] = False,
    navigator: Annotated[str | None, typer.Option("--navigator-url", help="default: the running stack's")] = None,
    executor_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_EXECUTOR_URL")] = None,
    template_store_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_TEMPLATE_STORE_URL")] = None,
    prm: Annotated[str | None, typer.Option(help="a reward model behind vLLM's /pooling, for judge=prm")] = None,
    prm_model: Annotated[str, typer.Option(help="its name there")] = "prm",
) -> None:  # fmt: skip
    """Carry out all runs of a study, one after the other. Call it again after a stop: it goes on where it was."""
    from evaluation.studies import study as studying

    read_study = studying.read(file, scale)
    places = _places(navigator, executor_url, template_store_url, prm, prm_model)
    if dry_run:
        studying.show(read_study, to)
        return
    wait_for(studying.carry_out(read_study, to, reports, places, concurrency, engine, model, _names(only)))


@app.command()
def libraries(
    percents: Annotated[str, typer.Option("--percent", help="parts of the library")] = "10,25,50,75",
    count: Annotated[int, typer.Option("--distractors", min=0, help="sound templates that nothing asks for")] = 10_000,
    library: Annotated[str, typer.Option(help="the library to take from")] = "math",
    seed: SeedOption = 0,
    template_store_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_TEMPLATE_STORE_URL")] = None,
) -> None:  # fmt: skip
    """Make libraries of other sizes in the template store: math-10 …, and math-crowd with the distractors."""
    from evaluation.studies import libraries as sizes
    from reasonflux.client import TemplateStoreClient
    from reasonflux.http import http_client

    async def work() -> int:
        async with http_client() as http:
            store = TemplateStoreClient(http, template_store_url or Settings().template_store_url)
            templates = await sizes.whole(store, library)
            wanted = {f"{library}-{percent}": sizes.part(templates, percent, seed) for percent in _depths(percents)}
            if count:
                wanted[f"{library}-crowd"] = [*templates, *sizes.distractors(templates, count, seed)]
            for name, chosen in wanted.items():
                await sizes.fill(store, name, chosen)
                out.print(f"{name}: {len(chosen):,} templates")
        return 0

    wait_for(work())


@app.command("hold-out")
def hold_out(
    families: Annotated[str, typer.Option(help="the ladder's families whose templates are held out")] = ",".join(
        HELD_FAMILIES
    ),
    library: Annotated[str, typer.Option(help="the library to take from")] = "math",
    template_store_url: Annotated[str | None, typer.Option(help="default: REASONFLUX_TEMPLATE_STORE_URL")] = None,
) -> None:
    """Make two libraries in the running store: math-before, without the templates of some families, and math-after,
    to which they are added when it is served without them already."""
    from evaluation.studies import libraries as sizes
    from reasonflux.client import TemplateStoreClient
    from reasonflux.http import http_client

    async def work() -> int:
        async with http_client() as http:
            store = TemplateStoreClient(http, template_store_url or Settings().template_store_url)
            for name, size in (await sizes.before_and_after(store, library, _names(families))).items():
                out.print(f"{name}: {size:,} templates")
        return 0

    wait_for(work())


@app.command()
def results(
    reports: Annotated[Path, typer.Option(help="the reports of studies")] = Path("evaluation/reports"),
    to: Annotated[Path, typer.Option(help="where pages and plots go")] = Path("docs/results"),
    studies: Annotated[Path, typer.Option(help="the studies: their words")] = Path("evaluation/studies"),
) -> None:
    """Write the studies' pages and draw their plots from the stored reports."""
    from evaluation.studies import pages

    for path in pages.generate(reports, to, studies):
        typer.echo(path)


def _ladder(split: Split, depth: str, limit: int | None, families: str, outside: int, seed: int) -> LadderQuestions:
    asked = LADDER_LIMIT if limit is None else limit
    return LadderQuestions(
        split=split, depths=_depths(depth), limit=asked, families=_names(families), outside=outside, seed=seed
    )


def _strategy(text: str, switches: Mapping[str, object]) -> AnyStrategy:
    """The strategy; the switches of `reasonflux` may also be given as options of their own."""
    found = parse(text)
    if not isinstance(found, ReasonFlux):
        return found
    given = {name: value for name, value in switches.items() if name != "templates"}
    given = {name: value for name, value in given.items() if value != ReasonFlux.model_fields[name].default}
    if not switches["templates"]:
        given["templates"] = "none"
    return found.model_copy(update=given)


def _places(
    navigator: str | None, executor: str | None, store: str | None, prm: str | None = None, prm_model: str = "prm"
) -> Places:
    settings = Settings()
    return Places(
        navigator_url=navigator or navigator_url() or settings.navigator_url,
        executor_url=executor or settings.executor_url,
        template_store_url=store or settings.template_store_url, prm_url=prm, prm_model=prm_model,
        engine_key=settings.eval_engine_key, api_key=settings.api_key,
    )  # fmt: skip


def _depths(text: str) -> tuple[int, ...]:
    """Numbers with commas between them."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise InvalidRequest(f"{text!r} tells no numbers", hint="such as 1,2,3") from error


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())

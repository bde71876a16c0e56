"""The model card of a run's weights, from the run's config and evaluations."""

from evaluation.ladder import ALL
from evaluation.report import percent
from training.reporting.model_card import Card, Score
from training.settings import Role, RunConfig
from training.stages.evaluate import Evaluation

HARDEST = 5
_STRUCTURE = "structure data: the templates' names and tags with their descriptions and scopes"


def card(config: RunConfig, role: Role, reached: Evaluation, before: Evaluation | None) -> Card:
    """What someone must know who serves these weights."""
    chosen = config.roles.get(role)
    base = None if config.sft is None else config.sft.model
    origin = (
        f"from scratch: {chosen.shape.layers} layers of {chosen.shape.hidden}"
        if chosen
        else f"from {base or config.start}"
    )
    return Card(
        title=f"{config.publish.title if config.publish else 'ReasonFlux'} ({role})",
        summary=f"The {role} of a ReasonFlux system, {origin}. It speaks the {config.profile} prompts only.",
        base_model=base,
        use=f"Serve it with vLLM; set REASONFLUX_{role.upper()}_PROFILE={config.profile}. Other prompts give nothing.",
        data=_data(config),
        not_trained_on=_kept_out(config),
        recipe=_recipe(config, role),
        scores=_scores(reached, before),
        scores_on=f"{len(reached.outcomes)} held-out {_asked(config)}: greedy, no review, templates found by name",
        limits=_limits(config, reached),
    )


def _kept_out(config: RunConfig) -> tuple[str, ...]:
    heldout = f"held-out {_asked(config)} (the split is by hash of the text)"
    if config.roles:
        return "benchmark files of any kind", heldout
    against = config.corpus.against if config.corpus else ()
    return (*(f"problems that share a run of words with {path.name}" for path in against), heldout)


def _asked(config: RunConfig) -> str:
    return f"problems of {config.evaluated.name}" if config.evaluated else "ladder problems"


def _limits(config: RunConfig, reached: Evaluation) -> tuple[str, ...]:
    told = []
    if config.roles:
        told += [
            "English in the wordings of the ladder's families; other kinds of problems are declined or misread",
            f"it was trained on the {len({family.template_id for family in ALL.values()})} templates of the ladder; a "
            "library may hold more, plans name only these",
        ]
    if config.roles:
        told.append(f"chains of up to {max(config.mixture.depths)} steps were trained")
    if reached.depths:
        deepest = max(reached.depths)
        told.append(f"of problems of depth {deepest} it solves {percent(reached.success(depth=deepest))}")
    else:
        told.append(f"it was measured on {_asked(config)} alone")
    if len(reached.families) > HARDEST:
        hardest = sorted(reached.families, key=lambda family: (reached.success(family=family).mean, family))[:HARDEST]
        named = (f"{family} {percent(reached.success(family=family))}" for family in hardest)
        told.append("problems with these families in them fail most: " + ", ".join(named))
    return tuple(told)


def _data(config: RunConfig) -> tuple[str, ...]:
    if not config.roles:
        return _written(config)
    depths = ", ".join(map(str, sorted(set(config.mixture.depths))))
    mixture = config.mixture
    injected = max(mixture.failed_calculation, mixture.unfit_template) > 0
    with_ = " with injected errors" if injected else ""
    told = [f"generated problems of the ladder's training split, depths {depths}{with_}"]
    if mixture.follow_up:
        told.append("follow-up questions to solved ones")
    if config.structure is not None:
        told.append(_STRUCTURE)
    if config.noise is not None:
        told.append("faulty plans of a simulated teacher, as an extracted corpus has them")
    return tuple(told)


def _written(config: RunConfig) -> tuple[str, ...]:
    """What a pretrained model was tuned on: the sources of its corpus, and the problems of its rounds."""
    sources = config.corpus.sources if config.corpus else None
    named = {
        "generated problems of the ladder's training split": sources and sources.ladder,
        _STRUCTURE: sources and sources.structure,
        "trajectories that a teacher LLM told from solved problems": sources and sources.teacher,
        "journals of sessions": sources and sources.sessions,
        "conversations that were given": config.corpus is None and config.sft,
        "what the weights that it started from were trained on": config.start,
    }
    told = [what for what, chosen in named.items() if chosen]
    if config.iterations:
        chosen = config.problems.dataset
        told.append(f"rewarded trajectories for problems of {chosen.name if chosen else 'the ladder'}")
    return tuple(told)


def _recipe(config: RunConfig, role: Role) -> tuple[str, ...]:
    chosen = config.roles.get(role)
    told = [f"{chosen.recipe.tokens / 1e6:g}M tokens, Muon and AdamW, seed {config.seed}" if chosen else "SFT by TRL"]
    if role == "navigator" and config.iterations:
        told.append(
            f"{config.iterations} × rollouts, rewards on similar problems, pairs, DPO (beta {config.dpo.beta}, "
            f"lr {config.dpo.lr}); the best round is published"
        )
    return tuple(told)


def _scores(reached: Evaluation, before: Evaluation | None) -> tuple[Score, ...]:
    def score(name: str, depth: int | None) -> Score:
        return Score(name=name, right=reached.success(depth=depth), before=before and before.success(depth=depth))

    return (*(score(f"depth {depth}", depth) for depth in reached.depths), score("all", None))

"""Every family of the ladder, by name."""

from evaluation.ladder.families import (
    amounts,
    combining,
    coordinates,
    counting,
    equations,
    geometry,
    logarithms,
    number_theory,
    polygons,
    probability,
    quadratics,
    rates,
    remainders,
    sequences,
)
from evaluation.ladder.family import Family

ALL: dict[str, Family] = {
    family.name: family
    for module in (
        amounts,
        combining,
        coordinates,
        counting,
        equations,
        geometry,
        logarithms,
        number_theory,
        polygons,
        probability,
        quadratics,
        rates,
        remainders,
        sequences,
    )
    for family in module.FAMILIES
}

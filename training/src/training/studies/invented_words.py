"""What invented templates are made of: words for things, kinds of quantities, ways to tell them."""

from dataclasses import dataclass
from random import Random

from evaluation.ladder import Split
from evaluation.ladder.problem import split_of


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


_QUALITIES = _listed("""
    red blue green yellow white black brown gray pink purple golden silver wooden iron copper glass paper
    plastic cotton woolen old new small large tall short heavy light round square flat thick thin wide narrow
    deep shallow clean dirty dry wet hot cold warm soft hard smooth rough sharp blunt loud quiet fast slow
    early late rare common cheap fresh frozen sweet sour bitter salty ripe raw empty full open broken striped
    spotted shiny dull curved straight folded painted carved rusty dusty sandy muddy leather marble ceramic
    rubber steel bronze linen silk left right inner outer upper lower northern southern eastern western first
    second third other last next
""")
_THINGS = _listed("""
    crate lamp barrel book chair table apple pear plum lemon orange cherry basket bottle candle carpet castle
    clock coat coin cup curtain desk door drum engine fence flag flower fork garden gate glove hammer hat
    helmet horse hotel house jacket jar kettle key kite knife ladder leaf letter map market mirror motor nail
    needle oven packet painting panel pencil piano pillow pipe plate pocket pond pump puppet rabbit radio
    ribbon ring river road robot rocket roof rope ruler sack sail scarf school shelf ship shirt shoe shovel
    spoon stamp stone stool stove street suitcase tank tent ticket tile tower toy tractor train tray truck
    trumpet tunnel turtle umbrella vase violin wagon wall wheel whistle window wire zebra group set box row
    worker machine runner player pupil guest ball card segment side corner point line circle angle term number
    part leg account bank loan store price cyclist boat driver farmer baker bridge cable camera canal cart
    cave chain cloud cookie crown desert dish duck eagle egg farm feather field film fish forest fountain fox
    frame goat goose grape guitar hill hook island jug lake lion lock magnet medal mill monkey mountain mouse
    museum nest novel nut olive onion owl palace parcel peach pebble pepper pizza planet poem potato prize
    purse raft rug sandwich seed sheep shell shop skirt sled snail sock sofa song star statue stick swan
    sweater sword tailor tape temple tiger tomato tool torch towel trail tulip valley village wave well whale
    wolf yacht
""")
PEOPLE = _listed("Maria Tom Aisha Lena Omar Priya Jonas Chloe Marek Ines Hugo Yuki Nora Paul Sofia Diego Elif Ravi")
PLACES = _listed("hall yard shop cellar office garage barn kitchen attic harbor station park studio depot")
COINS = _listed("dollars coins euros francs pounds")
_SYLLABLES = _listed(
    "ba be bo da de dor fi fo ga gle ka ki lo lum ma me mi mor na ne no pa pli ra ri ro sa so tan ti va zi"
)
RANKS = _listed("first second third other last next")


@dataclass(frozen=True)
class Kind:
    """A kind of quantity: how a template may name it, and how a sentence may tell it. {p} is one thing, {ps} many."""

    meanings: tuple[str, ...]
    sentences: tuple[str, ...]


KINDS = (
    Kind(
        ("number of {ps}", "count of {ps}", "how many {ps} there are", "{ps} in all", "amount of {ps}"),
        (
            "there are {n} {ps}",
            "{who} has {n} {ps}",
            "{who} counts {n} {ps} in the {place}",
            "the {place} holds {n} {ps}",
            "{n} {ps} stand in the {place}",
            "the number of {ps} is {n}",
        ),
    ),
    Kind(
        ("price of one {p}", "cost of each {p}", "what one {p} costs", "price of a {p} in {coin}"),
        (
            "one {p} costs {n} {coin}",
            "{who} pays {n} {coin} for each {p}",
            "a {p} is sold for {n} {coin}",
            "the price of one {p} is {n} {coin}",
        ),
    ),
    Kind(
        ("weight of the {p}", "how heavy the {p} is", "grams that the {p} weighs"),
        ("the {p} weighs {n} grams", "the weight of the {p} is {n} grams", "{who} lifts a {p} of {n} grams"),
    ),
    Kind(
        ("length of the {p}", "how long the {p} is", "length of the {p} in meters"),
        ("the {p} is {n} meters long", "the length of the {p} is {n}", "the {p} has a length of {n} meters"),
    ),
    Kind(
        ("height of the {p}", "how high the {p} is"),
        ("the {p} is {n} meters high", "the height of the {p} is {n}", "the {p} reaches a height of {n} meters"),
    ),
    Kind(
        ("age of the {p}", "years since the {p} was made", "how old the {p} is"),
        ("the {p} is {n} years old", "the age of the {p} is {n}", "{who} made the {p} {n} years ago"),
    ),
    Kind(
        ("speed of the {p}", "how fast the {p} goes", "kilometers per hour of the {p}"),
        ("the {p} goes at {n} kilometers per hour", "the speed of the {p} is {n}", "the {p} has a speed of {n}"),
    ),
    Kind(
        ("time for the {p}", "minutes that the {p} takes", "time of the {p} alone"),
        ("the {p} takes {n} minutes", "{who} needs {n} minutes for the {p}", "the {p} is done in {n} minutes"),
    ),
    Kind(
        ("distance to the {p}", "way to the {p}", "how far away the {p} is"),
        ("the distance to the {p} is {n}", "the {p} is {n} kilometers away", "{who} walks {n} meters to the {p}"),
    ),
    Kind(
        ("percentage of {ps}", "percent that are {ps}", "share of {ps} in percent"),
        ("{n} percent are {ps}", "{n} percent of the goods are {ps}", "the share of {ps} is {n} percent"),
    ),
    Kind(
        ("size of one {p}", "what one {p} holds", "content of each {p}"),
        ("each {p} holds {n} liters", "one {p} has a size of {n}", "{n} liters fit into one {p}"),
    ),
    Kind(
        ("points for a {p}", "worth of the {p}", "value of one {p}"),
        ("a {p} is worth {n} points", "{who} gets {n} points for a {p}", "the {p} has the value {n}"),
    ),
    Kind(("the {p}", "{p}"), ("the {p} is {n}", "take {n} as the {p}", "{n} is the {p}", "the {p} equals {n}")),
)


class Words:
    """The words of one split. Made-up words are told apart by the same hash as listed ones."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.things = [word for word in _THINGS if split_of(word) is split]
        self.qualities = [word for word in _QUALITIES if split_of(word) is split]

    def thing(self, rng: Random, syllables: float) -> str:
        return self._made(rng) if rng.random() < syllables else rng.choice(self.things)

    def quality(self, rng: Random, syllables: float) -> str:
        return self._made(rng) if rng.random() < syllables / 2 else rng.choice(self.qualities)

    def _made(self, rng: Random) -> str:
        while True:
            word = "".join(rng.choices(_SYLLABLES, k=rng.randint(2, 3)))
            if split_of(word) is self.split:
                return word

"""The ladder: generated mathematics problems of known depth, with gold trajectories."""

from evaluation.ladder.compose import generate as generate
from evaluation.ladder.compose import similar as similar
from evaluation.ladder.families import ALL as ALL
from evaluation.ladder.problem import LadderProblem as LadderProblem
from evaluation.ladder.problem import Sketch as Sketch
from evaluation.ladder.problem import Split as Split
from evaluation.ladder.problem import Stage as Stage

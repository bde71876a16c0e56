"""Grading: the answer in a solution's text, and whether it is right (`answers`), whatever its notation (`notation`)."""

from evaluation.grading.answers import GraderUnavailable as GraderUnavailable
from evaluation.grading.answers import exact as exact
from evaluation.grading.answers import extract as extract
from evaluation.grading.answers import grade as grade

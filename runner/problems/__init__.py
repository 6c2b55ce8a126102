"""Problems of files: what is wrong, which files have the same problem, and what to do about it.

May import the root nouns only. The check and the HTML report of a batch use it.

- Problem: one kind of trouble in one file, such as an invalid date in a field.
- Effect: what a problem does to the file's import.
- Group: the files that have the same problem, with counts and samples.
- Advice: one sentence that says what to do about a group.
"""

from runner.problems.advice import advice_for
from runner.problems.groups import ProblemGroup, ProblemGroups
from runner.problems.problem import Cell, Effect, Place, Problem

__all__ = ["Cell", "Effect", "Place", "Problem", "ProblemGroup", "ProblemGroups", "advice_for"]

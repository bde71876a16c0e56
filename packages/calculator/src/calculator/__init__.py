"""Exact arithmetic on hostile strings.

A statement is `expression` or `name = expression`. Text goes through a gate (an allowlist of characters and of syntax
nodes), and what passes is computed with exact numbers under size limits: nothing is ever given to `eval`, `sympify` or
`parse_expr`. `Calculator` does this in jailed child processes; `evaluate_in_process` does it right here, for tests and
for data that we generated ourselves.
"""

from calculator.evaluation import evaluate_in_process as evaluate_in_process
from calculator.functions import FORM_NAMES as FORM_NAMES
from calculator.functions import FUNCTION_NAMES as FUNCTION_NAMES
from calculator.functions import USAGES as USAGES
from calculator.gate import assigned_name as assigned_name
from calculator.gate import is_name as is_name
from calculator.gate import is_readable as is_readable
from calculator.process import Calculator as Calculator
from calculator.process import CalculatorUnavailable as CalculatorUnavailable

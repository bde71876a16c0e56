"""The gate: hostile text in, an allowlisted syntax tree out, or NotCalculable.

Three sieves, each of which would do alone against code: characters (no quotes, brackets, braces, colons, backslashes),
syntax nodes (no attributes, keywords, stars, lambdas, comprehensions), names (calls only to the language's functions).
Nothing is computed here.
"""

import ast
import keyword
import re

from calculator.functions import CONSTANTS, FUNCTION_NAMES
from calculator.limits import MAX_CHARS, MAX_DEPTH, MAX_DIGITS, MAX_NAME_CHARS, MAX_NODES, NotCalculable

# Mapped one by one, never by Unicode normalisation, which would let look-alikes of letters and digits in.
_SYMBOLS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∙": "*", "−": "-", "–": "-", "÷": "/", "^": "**", "π": "pi"}
    | {"≤": "<=", "≥": ">=", "≠": "!=", "\t": " ", "\u00a0": " "}
)
_FOREIGN = re.compile(r"[^A-Za-z0-9_+\-*/%().,<>=! ]")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r" *([A-Za-z_][A-Za-z0-9_]*) *=(?!=)(.*)")
_NUMBER = re.compile(r"\d+\.?\d*|\.\d+")
_GLUED = re.compile(r"(?<![A-Za-z0-9_.])(?:\d+\.?\d*|\.\d+)(?! +(?:and|or)\b) *[A-Za-z_]+")
_PARENTHESES = re.compile(r"[()]")

_OPERATORS: tuple[type[ast.AST], ...] = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.UAdd, ast.USub, ast.Not),
    *(ast.And, ast.Or, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Load),
)
_EXPRESSIONS = (ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare)


def is_name(text: str) -> bool:
    """Whether a caller or a statement may bind `text`: ASCII, no `__`, no function, constant or keyword."""
    return (
        len(text) <= MAX_NAME_CHARS
        and _NAME.fullmatch(text) is not None
        and "__" not in text
        and text not in FUNCTION_NAMES
        and (text not in CONSTANTS or text == "e")
        and not keyword.iskeyword(text)
    )


def split(statement: str) -> tuple[str | None, str]:
    """`name = expression` → (name, expression); anything else → (None, text). The text is translated to ASCII."""
    text = _translate(statement)
    match = _ASSIGNMENT.fullmatch(text)
    if match is None:
        return None, text.strip()
    name, expression = match.groups()
    check_name(name)
    return name, expression.strip()


def assigned_name(statement: str) -> str | None:
    """The name on the left of `name = expression`; None for any other text, sound or not."""
    match = _ASSIGNMENT.fullmatch(statement.strip(" \t\r\n"))
    return None if match is None else match.group(1)


def is_readable(statement: str) -> bool:
    """Whether the text belongs to the language; its value may still not exist."""
    try:
        read(split(statement)[1])
    except NotCalculable:
        return False
    return True


def check_name(name: str) -> None:
    """Raise NotCalculable when `name` cannot be bound."""
    if not is_name(name):
        shown = name[:MAX_NAME_CHARS]
        raise NotCalculable(
            f"{shown!r} cannot be used as a name",
            "names are ASCII letters, digits and underscores, start with a letter, and are no function or constant",
        )


def read(expression: str) -> ast.expr:
    """The checked tree of an expression that `split` returned."""
    if not expression:
        raise NotCalculable("the expression is empty")
    glued = _GLUED.search(expression)
    if glued:
        raise NotCalculable(
            f"{glued.group()[:60]!r} is neither a number nor a name",
            "write products with *, and numbers without e: 10**5",
        )
    _check_parentheses(expression)
    try:
        tree = ast.parse(expression, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _syntax_error(expression) from error
    _check_tree(tree, expression)
    return tree


def number(node: ast.Constant, expression: str) -> str:
    """A numeric literal as it was written; the tree only keeps a float, which is not exact."""
    return expression[node.col_offset : node.end_col_offset]


def _translate(statement: str) -> str:
    if len(statement) > MAX_CHARS:
        raise NotCalculable(f"the statement is longer than {MAX_CHARS} characters")
    text = statement.strip(" \t\r\n").translate(_SYMBOLS)
    foreign = _FOREIGN.search(text)
    if foreign:
        raise NotCalculable(
            f"the character {foreign.group()!r} does not belong to the calculator's language",
            "write plain expressions such as (3 + sqrt(5))/2, without LaTeX, brackets, quotes or words",
        )
    if len(text) > 2 * MAX_CHARS:
        raise NotCalculable(f"the statement is longer than {MAX_CHARS} characters")
    return text


def _check_parentheses(expression: str) -> None:
    depth = 0
    for parenthesis in _PARENTHESES.findall(expression):
        depth += 1 if parenthesis == "(" else -1
        if depth > MAX_DEPTH:
            raise NotCalculable("the expression is nested too deeply")


def _syntax_error(expression: str) -> NotCalculable:
    if "=" in re.sub(r"[=<>!]=", "", expression):
        return NotCalculable("a single = stands only after the one name it assigns", "compare with ==")
    if "!" in expression.replace("!=", ""):
        return NotCalculable("! is not an operator", "write factorial(n)")
    return NotCalculable("the expression cannot be read", "check parentheses and operators; write products with *")


def _check_tree(tree: ast.expr, expression: str) -> None:
    """Walks without recursion: the tree's depth is what is being checked."""
    stack: list[tuple[ast.AST, int]] = [(tree, 1)]
    nodes = 0
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            raise NotCalculable("the expression is too long or nested too deeply", "split it into several statements")
        stack.extend((child, depth + 1) for child in _children(node, expression))


def _children(node: ast.AST, expression: str) -> list[ast.expr]:
    match node:
        case ast.Constant():
            _check_constant(node, expression)
            return []
        case ast.Name(id=name):
            if len(name) > MAX_NAME_CHARS or _NAME.fullmatch(name) is None or "__" in name:
                raise NotCalculable(f"{name[:MAX_NAME_CHARS]!r} cannot be used as a name")
            return []
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in FUNCTION_NAMES:
                raise NotCalculable(
                    f"{name[:MAX_NAME_CHARS]!r} is not a function of the calculator",
                    f"functions: {', '.join(sorted(FUNCTION_NAMES))}; write products with *",
                )
            return args
    if not isinstance(node, _EXPRESSIONS):
        raise _refused(node)
    operands: list[ast.expr] = []
    for part in ast.iter_child_nodes(node):
        if isinstance(part, ast.expr):
            operands.append(part)
        elif not isinstance(part, _OPERATORS):
            raise _refused(part)
    return operands


def _check_constant(node: ast.Constant, expression: str) -> None:
    if isinstance(node.value, bool):
        return
    literal = number(node, expression)
    if _NUMBER.fullmatch(literal) is None:
        raise NotCalculable(
            f"{literal[:40]!r} is not a number of the calculator", "write integers or decimals: 12, 0.25"
        )
    if len(literal) > MAX_DIGITS + 1:
        raise NotCalculable(f"a number has more than {MAX_DIGITS} digits")


def _refused(node: ast.AST) -> NotCalculable:
    message = f"the calculator has no {type(node).__name__}"
    match node:
        case ast.Tuple():
            message = "a list of values is not one expression"
        case ast.Call():
            message = "only a function name can be called, with plain arguments"
        case ast.Attribute():
            message = "a dot stands only inside a decimal number"
    return NotCalculable(message, "only numbers, names, operators and function calls can be calculated")

"""How the trees of each language name the parts that matter, as data for :mod:`source`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from embedenv_jupyter.languages.filter import vocabulary
from embedenv_jupyter.languages.filter.vocabulary import Vocabulary


@dataclass(frozen=True)
class Grammar:
    """Types of nodes, and the fields in which their parts stand."""

    parser: str
    vocabulary: Vocabulary
    calls: Mapping[str, tuple[str, str]]
    """Calls: the field of what is called, and that of the arguments."""
    members: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Parts of something: the field of the whole, and that of the part's name."""
    strings: Mapping[str, str] = field(default_factory=dict)
    """Texts: the type of the nodes inside that stand for themselves."""
    joined: frozenset[str] = frozenset({"concatenated_string", "chained_string"})
    """Texts that are made of the texts inside."""
    lists: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset(
        {"argument", "parenthesized_expression", "expression_list", "array_element_initializer"}
    )
    """What stands for the one thing inside of it."""
    gives: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """What gives a name a value: the fields of both."""
    loops: Mapping[str, str] = field(default_factory=dict)
    """Loops, and the field of their condition: without one, or if it always holds, they are endless."""
    never: frozenset[str] = frozenset()
    """Loops that go on while the condition does *not* hold."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """What runs a part or not: the field of the part that runs in any case."""
    functions: Mapping[str, str] = field(default_factory=dict)
    ends: frozenset[str] = frozenset()
    backticks: frozenset[str] = frozenset()
    """Texts that are run by the shell."""
    ourselves: frozenset[str] = frozenset()
    """How the path of the running program is written."""
    bare_calls: frozenset[str] = frozenset()
    """Names that are calls without parentheses."""
    endless_calls: frozenset[str] = frozenset()
    """Calls that run their block without an end."""
    ignores_case: bool = False


_C_LIKE_LOOPS: Final = {
    "while_statement": "condition",
    "for_statement": "condition",
    "do_statement": "condition",
}
_C_LIKE_CHOICES: Final = {
    "if_statement": "condition",
    "switch_statement": "condition",
    "conditional_expression": "condition",
    "ternary_expression": "condition",
    "catch_clause": "parameter",
}
_C_LIKE_ENDS: Final = frozenset({"break_statement", "return_statement", "throw_statement", "goto_statement"})

C: Final = Grammar(
    parser="c",
    vocabulary=vocabulary.C,
    calls={"call_expression": ("function", "arguments")},
    members={"field_expression": ("argument", "field"), "qualified_identifier": ("scope", "name")},
    strings={"string_literal": "string_content", "raw_string_literal": "raw_string_content"},
    gives={"init_declarator": ("declarator", "value"), "assignment_expression": ("left", "right")},
    loops=_C_LIKE_LOOPS,
    choices=_C_LIKE_CHOICES,
    functions={"function_definition": "declarator"},
    ends=_C_LIKE_ENDS,
    ourselves=frozenset({"argv[0]", "program_invocation_name"}),
)

CPP: Final = Grammar(
    **{
        **{name: getattr(C, name) for name in C.__dataclass_fields__},
        "parser": "cpp",
        "ends": C.ends | {"co_return_statement", "co_yield_statement"},
    }
)

JAVASCRIPT: Final = Grammar(
    parser="javascript",
    vocabulary=vocabulary.JAVASCRIPT,
    calls={"call_expression": ("function", "arguments"), "new_expression": ("constructor", "arguments")},
    members={"member_expression": ("object", "property")},
    strings={"string": "string_fragment", "template_string": "string_fragment"},
    lists=frozenset({"array"}),
    gives={"variable_declarator": ("name", "value"), "assignment_expression": ("left", "right")},
    loops=_C_LIKE_LOOPS,
    choices={**_C_LIKE_CHOICES, "switch_statement": "value"},
    functions={
        "function_declaration": "name",
        "generator_function_declaration": "name",
        "method_definition": "name",
    },
    ends=_C_LIKE_ENDS | {"yield_expression", "await_expression"},
    ourselves=frozenset({"__filename", "process.argv[1]", "import.meta.filename"}),
)

TYPESCRIPT: Final = Grammar(
    **{
        **{name: getattr(JAVASCRIPT, name) for name in JAVASCRIPT.__dataclass_fields__},
        "parser": "typescript",
    }
)

PHP: Final = Grammar(
    parser="php",
    vocabulary=vocabulary.PHP,
    calls={
        "function_call_expression": ("function", "arguments"),
        "member_call_expression": ("name", "arguments"),
        "scoped_call_expression": ("name", "arguments"),
    },
    strings={"string": "string_content", "encapsed_string": "string_content", "nowdoc": "nowdoc_string"},
    lists=frozenset({"array_creation_expression"}),
    gives={"assignment_expression": ("left", "right")},
    loops=_C_LIKE_LOOPS,
    choices=_C_LIKE_CHOICES,
    functions={"function_definition": "name", "method_declaration": "name"},
    ends=_C_LIKE_ENDS | {"exit_statement", "throw_expression", "yield_expression"},
    backticks=frozenset({"shell_command_expression"}),
    ourselves=frozenset({"__FILE__", "$argv[0]", "$_SERVER['argv'][0]", "PHP_SELF"}),
    ignores_case=True,
)

RUBY: Final = Grammar(
    parser="ruby",
    vocabulary=vocabulary.RUBY,
    calls={"call": ("method", "arguments")},
    members={"scope_resolution": ("scope", "name")},
    strings={"string": "string_content"},
    lists=frozenset({"array"}),
    gives={"assignment": ("left", "right")},
    loops=dict.fromkeys(("while", "until", "while_modifier", "until_modifier"), "condition"),
    never=frozenset({"until", "until_modifier"}),
    choices={
        **dict.fromkeys(("if", "unless", "if_modifier", "unless_modifier", "conditional"), "condition"),
        "case": "value",
        "rescue": "exceptions",
    },
    functions={"method": "name"},
    ends=frozenset({"break", "return", "yield"}),
    backticks=frozenset({"subshell"}),
    ourselves=frozenset({"__FILE__", "$0", "$PROGRAM_NAME"}),
    bare_calls=frozenset({"fork", "exit", "wait"}),
    endless_calls=frozenset({"loop"}),
)

GO: Final = Grammar(
    parser="go",
    vocabulary=vocabulary.GO,
    calls={"call_expression": ("function", "arguments")},
    members={"selector_expression": ("operand", "field")},
    strings={
        "interpreted_string_literal": "interpreted_string_literal_content",
        "raw_string_literal": "raw_string_literal_content",
    },
    gives={"short_var_declaration": ("left", "right"), "assignment_statement": ("left", "right")},
    loops={"for_statement": "condition"},
    choices={
        **dict.fromkeys(("if_statement", "expression_switch_statement"), "condition"),
        "select_statement": "condition",
    },
    functions={"function_declaration": "name", "method_declaration": "name"},
    ends=frozenset({"break_statement", "return_statement", "goto_statement"}),
    ourselves=frozenset({"os.Args[0]"}),
)

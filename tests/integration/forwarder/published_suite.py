"""Jupyter's own test suite for kernels, with what there is to say of Python.

Run by ``python -m unittest`` in a process that has the address of a gateway in its environment.
"""

from __future__ import annotations

import jupyter_kernel_test


class PythonKernelTests(jupyter_kernel_test.KernelTests):  # type: ignore[misc]
    """All message types that the suite has."""

    kernel_name = "embedenv"
    language_name = "python"
    file_extension = ".py"
    code_hello_world = "print('hello, world')"
    code_stderr = "import sys; print('test', file=sys.stderr)"
    completion_samples = (
        {"text": "zi", "matches": {"zip"}},
        {"text": "pri", "matches": {"print"}},
    )
    complete_code_samples = ["1", "print('hello, world')", "def f(x):\n    return x*2\n\n\n"]  # noqa: RUF012
    incomplete_code_samples = ["print('''hello", "def f(x):\n    x*2"]  # noqa: RUF012
    invalid_code_samples = ["import = 7q"]  # noqa: RUF012
    code_page_something = "zip?"
    code_generate_error = "raise ValueError('no')"
    code_execute_result = [  # noqa: RUF012
        {"code": "1+2+3", "result": "6"},
        {"code": "[n*n for n in range(1, 4)]", "result": "[1, 4, 9]"},
        {"code": "6*7", "result": "42"},
    ]
    code_display_data = [  # noqa: RUF012
        {"code": "from IPython.display import HTML, display; display(HTML('<b>t</b>'))", "mime": "text/html"},
        {
            "code": "from IPython.display import Math, display; display(Math(r'\\frac{1}{2}'))",
            "mime": "text/latex",
        },
    ]
    code_history_pattern = "1?2*"
    # IPython calls its own session 0 in the answer to "range" and 1 in that to "tail", so its own tests,
    # and a local kernel, leave "range" out.
    supported_history_operations = ("tail", "search")
    code_inspect_sample = "zip"
    code_clear_output = "from IPython.display import clear_output; clear_output()"


class WelcomeTests(jupyter_kernel_test.IopubWelcomeTests):  # type: ignore[misc]
    """A subscriber is told that it hears the kernel."""

    kernel_name = "embedenv"
    support_iopub_welcome = True

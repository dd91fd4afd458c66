# Raku cells, each evaluated inside the scope of the one before it, so that "my" variables are kept.
use MONKEY-SEE-NO-EVAL;

$*OUT.out-buffer = 0;
my $cells = open %*ENV<CELL_IN>;
my $answers = open %*ENV<CELL_OUT>, :w;
$answers.out-buffer = 0;

# Returns the next cell as source that serves the cells after it from inside itself.
our sub next-cell() is export {
    my $path = $cells.get;
    return Nil without $path;
    'use MONKEY-SEE-NO-EVAL;' ~ $path.IO.slurp ~ "\n;done-cell(True); " ~ q:to/END/;
        while (my $cell__ = next-cell()).defined {
            try { EVAL $cell__; CATCH { default { note .message; done-cell(False) } } }
        }
        END
}

our sub done-cell($is-good) is export { $answers.say($is-good ?? 'ok' !! 'error') }

$answers.say('ready');
while (my $cell__ = next-cell()).defined {
    try { EVAL $cell__; CATCH { default { note .message; done-cell(False) } } }
}

# SQLite: one command line, one database in memory. It reads the list of cells, and its own .shell answers.
errors=$(mktemp /tmp/.cells.XXXXXX)
export errors
answer='if [ -s "$errors" ]; then cat "$errors" >\&2; : >"$errors"; echo error >"$CELL_OUT"; else echo ok >"$CELL_OUT"; fi'
answer=${answer//\\/}
{
    printf '.shell echo ready >"$CELL_OUT"\n'
    while IFS= read -r cell; do
        printf '.read "%s"\n.shell %s\n' "$cell" "$answer"
    done <"$CELL_IN"
} | sqlite3 -batch -header :memory: 2>>"$errors"

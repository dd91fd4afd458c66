# fish: cells are sourced in this shell.
echo ready >$CELL_OUT
while read __cell <$CELL_IN
    source $__cell
    if test $status -eq 0
        echo ok >$CELL_OUT
    else
        echo error >$CELL_OUT
    end
end

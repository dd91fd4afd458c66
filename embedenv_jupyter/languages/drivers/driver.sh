# bash and zsh: cells are sourced in this shell.
trap 'return 130 2>/dev/null' INT
exec 8<"$CELL_IN" 9>"$CELL_OUT" 3<&- 4>&-
echo ready >&9
while IFS= read -r __cell <&8; do
  . "$__cell" 8<&- 9>&-
  if [ $? -eq 0 ]; then echo ok >&9; else echo error >&9; fi
done

\ Forth cells are included; an error leaves the stack as the word "catch" restores it.
s" CELL_IN" getenv r/o open-file throw Value cell-paths
s" CELL_OUT" getenv w/o open-file throw Value cell-answers
Create cell-path 1024 allot

: cell-answer ( c-addr u -- )
  stdout flush-file drop  cell-answers write-line throw  cell-answers flush-file throw ;

: cell-complain ( n -- )
  stderr to outfile-id  ." error " . cr  stdout to outfile-id ;

: serve-cells ( -- )
  s" ready" cell-answer
  begin cell-path 1000 cell-paths read-line throw while
    cell-path swap ['] included catch
    dup if  cell-complain 2drop s" error"  else  drop s" ok"  then  cell-answer
  repeat drop ;

serve-cells bye

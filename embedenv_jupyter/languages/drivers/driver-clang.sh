# C and C++ with clang-repl: driver-clang.sh c|cpp
#
# Its own input is the list of cells, each #included, so the cells' input is descriptor 5. A cell that does not compile
# does not come to its last statement, which says that it was good.
exec 5<&0

common='
FILE *cell_answers; int cell_is_good;
cell_answers = fopen(getenv("CELL_OUT"), "w");
stdin = fdopen(5, "r");
setvbuf(stdout, NULL, _IONBF, 0);
fputs("ready\n", cell_answers); fflush(cell_answers);'
answer='fputs(cell_is_good ? "ok\n" : "error\n", cell_answers); fflush(cell_answers); cell_is_good = 0; }'

case $1 in
c)
    options="--Xcc=-xc --Xcc=-std=gnu17"
    prelude="#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <math.h>
$common
void cell_done(void) { fflush(stdout); fflush(stderr); $answer"
    ;;
cpp)
    options="--Xcc=-std=gnu++20"
    prelude="#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <ext/stdio_filebuf.h>
$common
__gnu_cxx::stdio_filebuf<char> cell_input(5, std::ios::in);
std::cin.rdbuf(&cell_input);
void cell_done() { std::cout.flush(); fflush(stdout); fflush(stderr); $answer"
    ;;
esac

{
    printf '%s\n' "$prelude"
    number=0
    while IFS= read -r cell; do
        number=$((number + 1))
        copy=/tmp/.cell-$$-$number.inc
        { cat "$cell"; printf '\n;cell_is_good = 1;\n'; } >"$copy"
        printf '#include "%s"\ncell_done();\n' "$copy"
    done <"$CELL_IN"
    echo '%quit'
} | clang-repl-22 $options

package AutoFlush;    # perl -MAutoFlush: a prompt without a line end is seen before its answer is read

use IO::Handle;

STDERR->autoflush(1);
STDOUT->autoflush(1);

1;

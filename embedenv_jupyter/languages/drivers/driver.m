1;  % a script, not a function file: cells are sourced at the top level
__cells = fopen (getenv ("CELL_IN"), "r");
__answers = fopen (getenv ("CELL_OUT"), "w");
fprintf (__answers, "ready\n"); fflush (__answers);
while true
  __path = "";  % byte by byte: fgetl waits for a character beyond the end of the line
  while true
    __byte = fread (__cells, 1, "uint8=>char");
    if (isempty (__byte) || __byte == "\n") break; end
    __path(end+1) = __byte;
  end
  if (isempty (__path)) break; end
  __word = "ok";
  try
    source (__path);
  catch __problem
    fprintf (stderr, "error: %s\n", __problem.message);
    __word = "error";
  end_try_catch
  fflush (stdout); fprintf (__answers, "%s\n", __word); fflush (__answers);
endwhile

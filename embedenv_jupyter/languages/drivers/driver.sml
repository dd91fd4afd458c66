(* Standard ML cells are used, as by PolyML.use. *)
fun cellDriver (cells, answers) =
  let
    fun answer word = (
      TextIO.flushOut TextIO.stdOut;
      TextIO.output (answers, word ^ "\n");
      TextIO.flushOut answers)
    fun evaluate path =
      (PolyML.use path; "ok") handle problem =>
        (TextIO.output (TextIO.stdErr, "Exception " ^ General.exnMessage problem ^ "\n"); "error")
    fun loop () =
      case TextIO.inputLine cells of
          NONE => ()
        | SOME line => (answer (evaluate (String.substring (line, 0, String.size line - 1))); loop ())
  in
    answer "ready";
    loop ()
  end;

val () = cellDriver
  (TextIO.openIn (valOf (OS.Process.getEnv "CELL_IN")), TextIO.openOut (valOf (OS.Process.getEnv "CELL_OUT")));

import java.io.BufferedReader;
import java.io.FileReader;
import java.io.FileWriter;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import jdk.jshell.EvalException;
import jdk.jshell.JShell;
import jdk.jshell.JShellException;
import jdk.jshell.Snippet;
import jdk.jshell.SnippetEvent;
import jdk.jshell.SourceCodeAnalysis.CompletionInfo;

/** Java cells, evaluated by JShell in this very process, which owns the standard streams. */
public class Driver {
  private static final List<String> IMPORTS = List.of(
      "java.io.*", "java.math.*", "java.nio.file.*", "java.util.*", "java.util.concurrent.*", "java.util.function.*",
      "java.util.regex.*", "java.util.stream.*");

  private final JShell shell =
      JShell.builder().executionEngine("local").in(System.in).out(System.out).err(System.err).build();

  public static void main(String[] arguments) throws Exception {
    Driver driver = new Driver();
    IMPORTS.forEach(name -> driver.shell.eval("import " + name + ";"));
    sun.misc.Signal.handle(new sun.misc.Signal("INT"), signal -> driver.shell.stop());
    try (BufferedReader cells = new BufferedReader(new FileReader(System.getenv("CELL_IN")));
        PrintWriter answers = new PrintWriter(new FileWriter(System.getenv("CELL_OUT")), true)) {
      answers.println("ready");
      for (String path; (path = cells.readLine()) != null; ) {
        boolean isGood = driver.evaluates(Files.readString(Path.of(path)));
        System.out.flush();
        System.err.flush();
        answers.println(isGood ? "ok" : "error");
      }
    }
    System.exit(0);
  }

  private boolean evaluates(String cell) {
    String rest = cell;
    while (!rest.isBlank()) {
      CompletionInfo next = shell.sourceCodeAnalysis().analyzeCompletion(rest);
      boolean isWhole = next.source() != null && !next.source().isEmpty();
      if (!isGood(isWhole ? next.source() : rest)) {
        return false;
      }
      rest = isWhole && next.remaining() != null ? next.remaining() : "";
    }
    return true;
  }

  private boolean isGood(String snippet) {
    for (SnippetEvent event : shell.eval(snippet)) {
      if (event.status() == Snippet.Status.REJECTED) {
        shell.diagnostics(event.snippet()).forEach(found -> System.err.println("error: " + found.getMessage(Locale.ROOT)));
        return false;
      }
      JShellException thrown = event.exception();
      if (thrown != null) {
        String name = thrown instanceof EvalException ? ((EvalException) thrown).getExceptionClassName() + ": " : "";
        System.err.println(name + thrown.getMessage());
        return false;
      }
    }
    return true;
  }
}

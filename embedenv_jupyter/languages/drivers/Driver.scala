import java.io.{BufferedReader, FileReader, FileWriter, PrintWriter, StringWriter}

import scala.tools.nsc.Settings
import scala.tools.nsc.interpreter.{IMain, Results}

/** Scala cells, interpreted by the compiler's own interpreter in this very process. */
object ScalaDriver {
  def main(arguments: Array[String]): Unit = {
    val settings = new Settings
    settings.usejavacp.value = true
    settings.nowarn.value = true
    val messages = new StringWriter
    val interpreter = new IMain(settings, new PrintWriter(messages))
    val cells = new BufferedReader(new FileReader(System.getenv("CELL_IN")))
    val answers = new PrintWriter(new FileWriter(System.getenv("CELL_OUT")), true)
    interpreter.beQuietDuring { interpreter.interpret("val warm = 1") }
    answers.println("ready")
    Iterator.continually(cells.readLine()).takeWhile(_ != null).foreach { path =>
      messages.getBuffer.setLength(0)
      val source = scala.io.Source.fromFile(path).mkString
      val isGood = interpreter.beSilentDuring { interpreter.interpret(source) } == Results.Success
      if (!isGood) System.err.print(messages)
      scala.Console.out.flush()
      System.out.flush()
      System.err.flush()
      answers.println(if (isGood) "ok" else "error")
    }
    sys.exit(0)
  }
}

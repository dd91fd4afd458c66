using System;
using System.IO;
using Mono.CSharp;

/// C# cells, evaluated statement by statement by Mono's evaluator.
class Driver
{
    static readonly string[] Namespaces =
        { "System", "System.Collections.Generic", "System.IO", "System.Linq", "System.Text" };

    readonly StreamWriter errors = new StreamWriter(Console.OpenStandardError()) { AutoFlush = true };
    readonly ConsoleReportPrinter report;
    readonly Evaluator evaluator;

    Driver()
    {
        report = new ConsoleReportPrinter(errors);
        evaluator = new Evaluator(new CompilerContext(new CompilerSettings(), report));
        evaluator.ReferenceAssembly(typeof(System.Linq.Enumerable).Assembly);
        foreach (var name in Namespaces) evaluator.Run("using " + name + ";");
    }

    static void Main()
    {
        var driver = new Driver();
        var cells = new StreamReader(Environment.GetEnvironmentVariable("CELL_IN"));
        var file = new FileStream(Environment.GetEnvironmentVariable("CELL_OUT"), FileMode.Open, FileAccess.Write);
        var answers = new StreamWriter(file) { AutoFlush = true };
        answers.WriteLine("ready");
        for (string path; (path = cells.ReadLine()) != null;)
        {
            bool isGood = driver.Evaluates(File.ReadAllText(path));
            Console.Out.Flush();
            answers.WriteLine(isGood ? "ok" : "error");
        }
    }

    bool Evaluates(string cell)
    {
        try
        {
            string open = "";
            foreach (var line in cell.Split('\n'))
            {
                open += line + "\n";
                if (open.Trim() == "" || !IsOpen(open, out bool isGood) && isGood) open = "";
                else if (!isGood) return false;
            }
            return open.Trim() == "" || !IsOpen(open + ";", out bool last) && last;
        }
        catch (Exception thrown)
        {
            errors.WriteLine(thrown.GetType() + ": " + thrown.Message);
            return false;
        }
    }

    /// Evaluate a statement; tell whether it goes on in the next line.
    bool IsOpen(string statement, out bool isGood)
    {
        int before = report.ErrorsCount;
        object result;
        bool hasResult;
        string rest = evaluator.Evaluate(statement, out result, out hasResult);
        isGood = report.ErrorsCount == before;
        return rest != null;
    }
}

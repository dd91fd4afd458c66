# Elixir cells; bindings, imports and aliases are kept.
defmodule CellDriver do
  # Byte by byte: a longer read waits until its buffer is full.
  def line(cells, read \\ []) do
    case :file.read(cells, 1) do
      {:ok, "\n"} -> read |> Enum.reverse() |> IO.iodata_to_binary()
      {:ok, byte} -> line(cells, [byte | read])
      _ -> nil
    end
  end

  def serve(cells, answers, bindings, env) do
    if path = line(cells) do
      {word, bindings, env} = evaluate(path, bindings, env)
      Enum.each(Port.list(), &settle/1)
      :file.write(answers, word <> "\n")
      serve(cells, answers, bindings, env)
    end
  end

  # Output goes through ports, which write when they come to it: wait until they have.
  defp settle(port) do
    case Port.info(port, :queue_size) do
      {:queue_size, size} when size > 0 ->
        Process.sleep(1)
        settle(port)

      _ ->
        :ok
    end
  end

  defp evaluate(path, bindings, env) do
    quoted = Code.string_to_quoted!(File.read!(path), file: "cell")
    {_, new_bindings, new_env} = Code.eval_quoted_with_env(quoted, bindings, env)
    {"ok", new_bindings, new_env}
  rescue
    error ->
      IO.puts(:stderr, Exception.format(:error, error, []))
      {"error", bindings, env}
  catch
    kind, value ->
      IO.puts(:stderr, Exception.format(kind, value, []))
      {"error", bindings, env}
  end
end

Code.compiler_options(ignore_module_conflict: true)
{:ok, cells} = :file.open(System.get_env("CELL_IN"), [:read, :raw, :binary])
{:ok, answers} = :file.open(System.get_env("CELL_OUT"), [:write, :raw])
:file.write(answers, "ready\n")
CellDriver.serve(cells, answers, [], Code.env_for_eval(file: "cell"))

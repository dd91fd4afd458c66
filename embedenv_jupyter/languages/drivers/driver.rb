# Ruby cells in the top-level binding.
$stdout.sync = true

module CellDriver
  def self.good?(path, name, scope)
    scope.eval(File.read(path), name, 1)
    true
  rescue SystemExit => e
    e.success?
  rescue Exception => e # whatever a cell raises, the session goes on
    $stderr.puts e.full_message(highlight: false).lines.reject { |line| line.include?(__FILE__) }.join
    false
  end

  def self.serve(scope)
    cells = File.open(ENV["CELL_IN"])
    answers = File.open(ENV["CELL_OUT"], "w")
    answers.sync = true
    answers.puts "ready"
    cells.each_line(chomp: true).with_index(1) do |path, number|
      is_good = good?(path, "cell#{number}", scope)
      $stdout.flush
      $stderr.flush
      answers.puts(is_good ? "ok" : "error")
    end
  end
end

ARGV.clear
CellDriver.serve(TOPLEVEL_BINDING.dup)

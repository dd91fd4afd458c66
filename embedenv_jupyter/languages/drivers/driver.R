# R cells in the global environment; visible values are printed.
local({
  cells <- fifo(Sys.getenv("CELL_IN"), "r", blocking = TRUE)
  answers <- fifo(Sys.getenv("CELL_OUT"), "w", blocking = TRUE)
  evaluate <- function(path) {
    for (expression in parse(path, keep.source = TRUE)) {
      result <- withVisible(eval(expression, globalenv()))
      if (result$visible) print(result$value)
    }
    TRUE
  }
  answer <- function(word) {
    flush(stdout())
    flush(stderr())
    writeLines(word, answers)
    flush(answers)
  }
  answer("ready")
  while (length(path <- readLines(cells, n = 1)) > 0) {
    good <- tryCatch(evaluate(path), error = function(problem) {
      message("Error: ", conditionMessage(problem))
      FALSE
    })
    answer(if (good) "ok" else "error")
  }
})

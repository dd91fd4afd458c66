;; Scheme cells, read and evaluated form by form in the interaction environment.
(use-modules (ice-9 rdelim))

(define (cell-driver-serve)
  (define cells (open-input-file (getenv "CELL_IN")))
  (define answers (open-output-file (getenv "CELL_OUT")))
  (define environment (interaction-environment))
  (define (evaluate path)
    (call-with-input-file path
      (lambda (port)
        (let loop ((form (read port)))
          (unless (eof-object? form)
            (eval form environment)
            (loop (read port))))))
    #t)
  (define (answer word)
    (force-output)
    (display word answers)
    (newline answers)
    (force-output answers))
  (sigaction SIGINT (lambda (signal) (throw 'interrupted "SIGINT")))
  (setvbuf (current-output-port) 'none)
  (answer "ready")
  (let loop ((path (read-line cells)))
    (unless (eof-object? path)
      (answer
       (if (catch #t
             (lambda () (evaluate path))
             (lambda (key . arguments)
               (print-exception (current-error-port) #f key arguments)
               #f))
           "ok"
           "error"))
      (loop (read-line cells)))))

(cell-driver-serve)

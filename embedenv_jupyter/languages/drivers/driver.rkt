#lang racket/base
;; Racket cells in a namespace with all of racket; a #lang line is skipped, values are printed.

(define cells (open-input-file (getenv "CELL_IN")))
(define answers (open-output-file (getenv "CELL_OUT") #:exists 'append))
(define namespace (make-base-namespace))
(parameterize ([current-namespace namespace]) (namespace-require 'racket))
(file-stream-buffer-mode (current-output-port) 'none)

(define (evaluate path)
  (call-with-input-file path
    (lambda (port)
      (regexp-try-match #px"^\\s*#lang[^\n]*\n" port)
      (port-count-lines! port)
      (let loop ()
        (define form (read-syntax path port))
        (unless (eof-object? form)
          (call-with-values
           (lambda () (eval (namespace-syntax-introduce form)))
           (lambda values (for ([value values] #:unless (void? value)) (println value))))
          (loop)))))
  #t)

(define (complain problem)
  ((error-display-handler) (if (exn? problem) (exn-message problem) (format "~s" problem)) problem)
  #f)

(define (answer word)
  (flush-output)
  (displayln word answers)
  (flush-output answers))

(answer "ready")
(let loop ()
  (define path (read-line cells))
  (unless (eof-object? path)
    (define good
      (with-handlers ([(lambda (problem) #t) complain])
        (parameterize ([current-namespace namespace]) (evaluate path))))
    (answer (if good "ok" "error"))
    (loop)))

;; Common Lisp cells are loaded.
(setf sb-impl::*default-external-format* :utf-8)

(defpackage :cell-driver (:use :cl))
(in-package :cell-driver)

(defun good-p (path)
  (let ((*package* (find-package :cl-user)))
    (handler-case
        (progn
          (handler-bind ((warning #'muffle-warning)) (load path))
          t)
      (sb-sys:interactive-interrupt ()
        (format *error-output* "Interrupted~%"))
      (error (problem)
        (format *error-output* "~a: ~a~%" (type-of problem) problem)))))

(defun serve ()
  (let ((cells (sb-sys:make-fd-stream 3 :input t :buffering :line))
        (answers (sb-sys:make-fd-stream 4 :output t :buffering :line)))
    (flet ((answer (word)
             (finish-output)
             (finish-output *error-output*)
             (write-line word answers)
             (finish-output answers)))
      (answer "ready")
      (loop for path = (read-line cells nil)
            while path
            do (answer (if (eq (good-p path) t) "ok" "error"))))))

(serve)

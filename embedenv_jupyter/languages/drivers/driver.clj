;; Clojure cells are loaded in the namespace user.
(let [cells (clojure.java.io/reader (System/getenv "CELL_IN"))
      answers (clojure.java.io/writer (System/getenv "CELL_OUT"))
      answer (fn [word]
               (flush)
               (.write answers (str word "\n"))
               (.flush answers))
      evaluate (fn [path]
                 (try
                   (load-file path)
                   "ok"
                   (catch Throwable thrown
                     (binding [*out* *err*]
                       (println (str (class thrown) ": " (ex-message (or (ex-cause thrown) thrown))))
                       (flush))
                     "error")))]
  (binding [*ns* (create-ns 'user)]
    (refer-clojure)
    (answer "ready")
    (loop []
      (when-let [path (.readLine cells)]
        (answer (evaluate path))
        (recur)))))
(System/exit 0)

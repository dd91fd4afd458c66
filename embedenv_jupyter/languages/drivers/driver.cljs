;; ClojureScript cells with nbb, in the namespace user; a promise is waited for.
(ns cell-driver (:require [nbb.core :as nbb] ["fs" :as fs]))

(def cells (fs/openSync (.. js/process -env -CELL_IN) "r"))
(def answers (fs/openSync (.. js/process -env -CELL_OUT) "w"))
(def byte-read (js/Buffer.alloc 1))

(defn line []
  (loop [read ""]
    (when (pos? (fs/readSync cells byte-read))
      (let [character (.toString byte-read "latin1")]
        (if (= character "\n") read (recur (str read character)))))))

(defn serve []
  (when-let [path (line)]
    (-> (js/Promise.resolve nil)
        (.then (fn [_] (nbb/load-string (str "(in-ns 'user)\n" (fs/readFileSync path "utf8")))))
        (.then (fn [_] "ok\n") (fn [problem] (js/console.error (str problem)) "error\n"))
        (.then (fn [word] (fs/writeSync answers word) (js/setImmediate serve))))))

(fs/writeSync answers "ready\n")
(serve)

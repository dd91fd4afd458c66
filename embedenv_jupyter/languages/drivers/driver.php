<?php
// PHP cells in the global scope. To declare a function or class again is fatal and ends the session.
if (function_exists('pcntl_async_signals')) {
    pcntl_async_signals(true);
    pcntl_signal(SIGINT, function () { throw new Exception('Interrupted'); });
}
$__cells = fopen('php://fd/3', 'r');
$__answers = fopen('php://fd/4', 'w');
fwrite($__answers, "ready\n");
while (($__path = fgets($__cells)) !== false) {
    $__good = true;
    $__cell = file_get_contents(rtrim($__path, "\n"));
    try {
        eval(preg_match('/^\s*<\?(php|=)/', $__cell) ? '?>' . $__cell : $__cell);
    } catch (Throwable $__error) {
        $__good = false;
        fwrite(STDERR, 'PHP ' . get_class($__error) . ': ' . $__error->getMessage() . ' on line ' . $__error->getLine() . "\n");
    }
    while (ob_get_level()) {
        ob_end_flush();
    }
    flush();
    fwrite($__answers, $__good ? "ok\n" : "error\n");
}

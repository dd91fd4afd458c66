(setvbuf (current-output-port) 'none) ; a prompt without a line end is seen before its answer is read

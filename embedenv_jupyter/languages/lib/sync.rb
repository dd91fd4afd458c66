$stdout.sync = true # ruby -r: a prompt without a line end is seen before its answer is read

/* REXX cells are interpreted; they may have no labels. */
parse arg .
cell__.in = value('CELL_IN', , 'SYSTEM')
cell__.out = value('CELL_OUT', , 'SYSTEM')
call stream cell__.in, 'C', 'OPEN READ'
call lineout cell__.out, 'ready'
do forever
  cell__.path = linein(cell__.in)
  if cell__.path = '' then leave
  cell__.word = 'ok'
  cell__.code = ''
  do while lines(cell__.path) > 0
    cell__.code = cell__.code linein(cell__.path) ';'
  end
  call stream cell__.path, 'C', 'CLOSE'
  call cell__
  call lineout cell__.out, cell__.word
end
exit

cell__:
  signal on syntax name cell_failed__
  signal on novalue name cell_failed__
  interpret cell__.code
  return

cell_failed__:
  call lineout '<stderr>', 'Error' condition('C') condition('D')
  cell__.word = 'error'
  return

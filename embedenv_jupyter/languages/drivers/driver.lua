-- Lua cells; what a cell declares local at its top level becomes global when the cell ends.
io.stdout:setvbuf("no")
local cells, answers = assert(io.open(os.getenv("CELL_IN"))), assert(io.open(os.getenv("CELL_OUT"), "w"))
answers:setvbuf("line")

function __keep_locals()
  local index = 1
  while true do
    local name, value = debug.getlocal(2, index)
    if not name then return end
    if name:sub(1, 1) ~= "(" then _G[name] = value end
    index = index + 1
  end
end

local function load_cell(path, name)
  local file = assert(io.open(path))
  local source = file:read("a")
  file:close()
  local cell = load(source .. "\n__keep_locals()", name)
  if cell then return cell end
  return load(source, name) -- one that ends with "return" cannot be added to
end

answers:write("ready\n")
local number = 0
for path in cells:lines() do
  number = number + 1
  local cell, problem = load_cell(path, "=cell" .. number)
  local good = cell ~= nil
  if cell then good, problem = xpcall(cell, debug.traceback) end
  if not good then io.stderr:write(tostring(problem), "\n") end
  io.stdout:flush()
  answers:write(good and "ok\n" or "error\n")
end

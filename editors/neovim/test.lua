--- Drives `weir lsp` from a real Neovim: types into buffers, and uses the commands that a user would use.
---
--- Run by `editors/test`, with this folder on the run path. WEIR_BIN is the program.

vim.cmd('filetype plugin on')
vim.cmd('syntax on')
vim.opt.showmode = false
vim.opt.report = 10000
vim.opt.swapfile = false
vim.opt.hidden = true
vim.opt.completeopt = { 'menuone', 'noselect' }

--- How long an event may take on a slow machine, and how often the conditions are asked for.
local PATIENCE_MS = 60000
local INTERVAL_MS = 10

local shared = [[
/// What a shop has sold.
schema Order {
  /// The customer.
  customer: Text
  amount:   Int
}

let limit = 100
]]

local main = [[
//! Orders into files.

import "shared.flow"

source orders = files { paths: ["orders/*.json"] }
channel buffer = memory {}
sink large = files { path: "large", format: json }

flow main {
  orders
    -> parse json as Order else drop
    -> keep if amount > limit
    -> buffer
    -> large
}
]]

local function write(path, text)
  local file = assert(io.open(path, 'w'))
  file:write(text)
  file:close()
end

local folder = vim.fn.tempname()
vim.fn.mkdir(folder .. '/.git', 'p')
write(folder .. '/shared.flow', shared)
write(folder .. '/main.flow', main)

-- ---- Waiting for events

local running

--- Stops the test until a condition is true.
local function await(what, condition)
  local ends = vim.loop.now() + PATIENCE_MS
  local function ask()
    local fine, value = pcall(condition)
    if fine and value then
      return running(value)
    end
    if vim.loop.now() > ends then
      return running(nil, 'waited in vain for ' .. what .. (fine and '' or ': ' .. tostring(value)))
    end
    vim.defer_fn(ask, INTERVAL_MS)
  end
  vim.schedule(ask)
  local value, failure = coroutine.yield()
  if failure ~= nil then
    error(failure, 0)
  end
  return value
end

--- Types keys, and waits until Neovim has read them.
local function type_keys(keys)
  vim.g.read = 0
  vim.api.nvim_input(keys)
  local mark = '<Cmd>let g:read = 1<CR>'
  vim.api.nvim_input(mark)
  await('the keys ' .. keys, function()
    return vim.g.read == 1
  end)
end

local function text()
  return table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, true), '\n') .. '\n'
end

--- Searches a text, and moves some letters behind its beginning.
local function go_to(found, after)
  type_keys('gg0/\\V' .. found:gsub('<', '<lt>') .. '<CR>' .. ((after or 0) > 0 and after .. 'l' or ''))
end

local function diagnostics()
  return vim.diagnostic.get(0)
end

local function no_diagnostics()
  return #diagnostics() == 0
end

--- Waits for a diagnostic with a code.
local function diagnostic(code)
  return await('a diagnostic ' .. code, function()
    for _, one in ipairs(diagnostics()) do
      local found = one.code or (one.user_data and one.user_data.lsp and one.user_data.lsp.code)
      if found == code then
        return one
      end
    end
  end)
end

--- Waits for a floating window. Returns its text.
local function floating()
  return await('a floating window', function()
    for _, window in ipairs(vim.api.nvim_list_wins()) do
      if vim.api.nvim_win_get_config(window).relative ~= '' then
        local lines = vim.api.nvim_buf_get_lines(vim.api.nvim_win_get_buf(window), 0, -1, true)
        vim.api.nvim_win_close(window, true)
        return table.concat(lines, '\n')
      end
    end
  end)
end

local function client()
  for _, one in pairs(vim.lsp.buf_get_clients(0)) do
    return one
  end
end

local function expect(condition, message)
  if not condition then
    error(message, 0)
  end
end

-- ---- Tests

local tests = {}

local function test(name, run)
  table.insert(tests, { name = name, run = run })
end

test('the buffer is connected, and a correct program has no diagnostics', function()
  require('weir').setup({ cmd = { vim.env.WEIR_BIN, 'lsp' } })
  vim.cmd('edit ' .. folder .. '/main.flow')
  expect(vim.bo.filetype == 'weir', 'the file type is ' .. vim.bo.filetype)
  await('the server', function()
    return client() ~= nil and client().initialized ~= false
  end)
  -- An answer to a request follows the diagnostics of the text before it.
  expect(client().request_sync('textDocument/hover', vim.lsp.util.make_position_params(), PATIENCE_MS, 0), 'no answer')
  expect(no_diagnostics(), vim.inspect(diagnostics()))
end)

test('a mistake is shown while it is typed, and goes when it is corrected', function()
  go_to('memory {}')
  type_keys('f{a capcity: 10 <Esc>')
  local found = diagnostic('E0203')
  local line = vim.api.nvim_buf_get_lines(0, found.lnum, found.lnum + 1, true)[1]
  expect(line:sub(found.col + 1, found.end_col) == 'capcity', 'the diagnostic is at ' .. line)
  go_to('capcity')
  type_keys('cwcapacity<Esc>')
  await('no diagnostics', no_diagnostics)
  type_keys('uu')
  await('no diagnostics', no_diagnostics)
  expect(text() == main, text())
end)

test('a code action corrects a mistake', function()
  go_to('memory {}')
  type_keys('f{a capcity: 10 <Esc>')
  diagnostic('E0203')
  vim.ui.select = function(items, _, choose)
    choose(items[1], 1)
  end
  go_to('capcity')
  vim.lsp.buf.code_action()
  await('the correction', function()
    return text():find('memory { capacity: 10 }', 1, true)
  end)
  await('no diagnostics', no_diagnostics)
  vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.split(main:gsub('\n$', ''), '\n'))
end)

test('hover says what a name is', function()
  go_to('Order else')
  vim.lsp.buf.hover()
  local shown = floating()
  expect(shown:find('What a shop has sold', 1, true), shown)
  go_to('files {')
  vim.lsp.buf.hover()
  shown = floating()
  expect(shown:find('files', 1, true), shown)
end)

test('completion offers settings', function()
  go_to('memory {}', #'memory {')
  type_keys('i cap<C-x><C-o>')
  local items = await('the menu', function()
    local shown = vim.fn.complete_info({ 'items', 'pum_visible' })
    return #shown.items > 0 and shown.items
  end)
  local words = vim.tbl_map(function(item)
    return item.word
  end, items)
  expect(vim.tbl_contains(words, 'capacity') or table.concat(words, ' '):find('capacity'), vim.inspect(words))
  type_keys('<C-e><Esc>u')
  expect(text() == main, text())
end)

test('definition goes into another file', function()
  go_to('limit', 1)
  -- The server does not answer about a text that changes meanwhile, and the last test has changed it: a user asks again.
  local asked
  await('the other file', function()
    if vim.fn.expand('%:t') == 'shared.flow' then
      return true
    end
    if asked == nil or vim.loop.now() > asked + 1000 then
      asked = vim.loop.now()
      vim.lsp.buf.definition()
    end
  end)
  local line = vim.api.nvim_get_current_line()
  expect(line:find('let limit', 1, true), line)
  vim.cmd('buffer main.flow')
end)

test('rename changes both files', function()
  go_to('limit', 1)
  vim.lsp.buf.rename('bound')
  await('the new name here', function()
    return text():find('amount > bound', 1, true)
  end)
  vim.cmd('buffer shared.flow')
  expect(text():find('let bound = 100', 1, true), text())
  vim.cmd('buffer main.flow')
  await('no diagnostics', no_diagnostics)
end)

test('formatting writes the canonical form', function()
  go_to('channel buffer')
  type_keys('Ochannel   other=memory{}<Esc>')
  if vim.lsp.buf.format ~= nil then
    vim.lsp.buf.format({ timeout_ms = PATIENCE_MS })
  else
    vim.lsp.buf.formatting_sync(nil, PATIENCE_MS)
  end
  expect(text():find('\nchannel other = memory {}\n', 1, true), text())
end)

test('the server ends with Neovim', function()
  local one = client()
  one.stop()
  await('the end of the server', function()
    return one.is_stopped()
  end)
end)

-- ---- Running

local function finish(status)
  vim.fn.delete(folder, 'rf')
  vim.cmd(status == 0 and 'qall!' or 'cquit!')
end

local function say(line)
  io.stdout:write(line .. '\n')
  io.stdout:flush()
end

local routine = coroutine.create(function()
  for number, one in ipairs(tests) do
    one.run()
    say(('ok %d - %s'):format(number, one.name))
  end
end)

running = function(...)
  local fine, failure = coroutine.resume(routine, ...)
  if not fine then
    say('not ok: ' .. tostring(failure))
    say(debug.traceback(routine))
    finish(1)
  elseif coroutine.status(routine) == 'dead' then
    say(('%d passed, 0 failed'):format(#tests))
    finish(0)
  end
end

vim.defer_fn(function()
  running()
end, 0)

--- Connects Neovim (0.7 and newer) with Weir's language server.
---
---     require('weir').setup({ cmd = { 'weir', 'lsp' }, params = { topic = 'clicks' } })

local M = {}

local defaults = {
  --- The command of the language server.
  cmd = { 'weir', 'lsp' },
  --- Values of params by name, as `--set` gives them.
  params = {},
  --- Environment variables for the language server, which take precedence over those of Neovim.
  environment = {},
  --- Called with the client and the buffer when the server is connected to a buffer.
  on_attach = nil,
  --- What the client can do; a completion plugin may have more to say. By default, what Neovim can do.
  capabilities = nil,
}

local options = defaults

--- Returns the folder whose programs belong together: that of the version control, or that of the file.
local function root_of(file)
  local folder = vim.fn.fnamemodify(file, ':p:h')
  local marker = vim.fn.finddir('.git', folder .. ';')
  if marker == '' then
    marker = vim.fn.findfile('.git', folder .. ';')
  end
  return marker == '' and folder or vim.fn.fnamemodify(marker, ':p'):gsub('/%.git/?$', '')
end

--- Returns a table that is an object in JSON, also without entries.
local function object(entries)
  return next(entries) == nil and vim.empty_dict() or entries
end

local function configuration(root)
  local settings = { weir = { params = object(options.params), environment = object(options.environment) } }
  local capabilities = options.capabilities
  if capabilities == nil then
    capabilities = vim.lsp.protocol.make_client_capabilities()
  end
  return {
    name = 'weir',
    cmd = options.cmd,
    root_dir = root,
    workspace_folders = { { uri = vim.uri_from_fname(root), name = root } },
    settings = settings,
    init_options = settings.weir,
    capabilities = capabilities,
    on_attach = options.on_attach,
    flags = { debounce_text_changes = 50 },
  }
end

-- The clients of versions that can't find a client by its folder.
local clients = {}

--- Connects a buffer with the language server, which is started if the buffer's folder has none.
function M.attach(buffer)
  -- Newer versions do this by themselves.
  if vim.bo[buffer].omnifunc == '' then
    vim.bo[buffer].omnifunc = 'v:lua.vim.lsp.omnifunc'
  end
  local root = root_of(vim.api.nvim_buf_get_name(buffer))
  if vim.lsp.start ~= nil then
    return vim.lsp.start(configuration(root), { bufnr = buffer })
  end
  local id = clients[root]
  if id == nil or vim.lsp.get_client_by_id(id) == nil then
    id = vim.lsp.start_client(configuration(root))
    clients[root] = id
  end
  if id ~= nil then
    vim.lsp.buf_attach_client(buffer, id)
  end
  return id
end

--- Connects every buffer of Weir, now and later.
function M.setup(given)
  options = vim.tbl_extend('force', defaults, given or {})
  if vim.fn.executable(options.cmd[1]) == 0 then
    vim.notify('weir: there is no program ' .. options.cmd[1], vim.log.levels.WARN)
    return
  end
  local group = vim.api.nvim_create_augroup('weir', { clear = true })
  vim.api.nvim_create_autocmd('FileType', {
    group = group,
    pattern = 'weir',
    callback = function(event)
      M.attach(event.buf)
    end,
  })
  for _, buffer in ipairs(vim.api.nvim_list_bufs()) do
    if vim.api.nvim_buf_is_loaded(buffer) and vim.bo[buffer].filetype == 'weir' then
      M.attach(buffer)
    end
  end
end

return M

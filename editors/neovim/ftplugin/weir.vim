if exists('b:did_ftplugin')
  finish
endif
let b:did_ftplugin = 1

setlocal commentstring=//\ %s
setlocal comments=:///,://!,://
setlocal formatoptions-=t formatoptions+=croql
setlocal expandtab shiftwidth=2 softtabstop=2 tabstop=2
" Headers and names are one word: @timestamp.
setlocal iskeyword+=@-@
setlocal suffixesadd=.flow
setlocal include=^\\s*import
setlocal smartindent

let b:undo_ftplugin = 'setlocal commentstring< comments< formatoptions< expandtab< shiftwidth< softtabstop< tabstop<'
  \ . ' iskeyword< suffixesadd< include< smartindent<'

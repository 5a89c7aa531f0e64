autocmd BufNewFile,BufRead *.flow setfiletype weir

" Highlights Weir's .flow files. The language server's semantic tokens refine it in Neovim 0.9 and newer.
if exists('b:current_syntax')
  finish
endif

syntax case match
syntax iskeyword a-z,A-Z,48-57,_

syntax match weirType /\<[A-Z]\w*\>/
syntax match weirHeader /@\h\w*/
syntax match weirNumber /\<\d\%(\w\|\.\d\)*\%(%\|\/\h\+\)\?/
syntax match weirProperty /\<[a-z_]\w*\>\ze\s*:/
syntax match weirFunction /\<[a-z_]\w*\>\ze\s*(/

" Items begin a line.
syntax match weirItem /^\s*\%(import\|param\|let\|schema\|interceptor\|fn\|quality\|flow\|test\|agent\|extern\|enum\|record\)\>\ze\s*[^:]/
syntax match weirItem /^\s*\%(source\|channel\|sink\)\>\ze\s\+[`a-z_]/ nextgroup=weirComponent skipwhite
syntax match weirComponent /`\?\h\w*`\?\s*=\@=/ contained
syntax match weirItem /\%(^\s*extern\s\+\)\@<=\%(source\|channel\|sink\|parser\|fn\)\>/

" Steps follow an arrow, or begin a line or a branch.
syntax match weirStep /\%(^\s*\|->\s*\|[{,]\s*\|\<optional\s\+\)\@<=\%(let\|set\|unset\|rename\|select\|parse\|check\|explode\|flatten\|throttle\|sample\|copy\|balance\|failover\|dedupe\)\>\ze\s\+[@`({A-Za-z0-9"]/
syntax match weirStep /\%(^\s*\|->\s*\|[{,]\s*\|\<optional\s\+\)\@<=\%(keep\|drop\|reject\)\>\ze\s\+\%(if\|because\)\>/
syntax match weirStep /\%(->\s*\|\<else\s\+\)\@<=\%(drop\|reject\)\>/
syntax match weirStep /^\s*\zs\%(send\|expect\|advance\|fail\|crash\|for\s\+each\)\>\ze\%(\s\|$\)/
syntax match weirWord /\%(^\s*expect\s\+\)\@<=\%(metric\|order\|no\)\>/
syntax match weirWord /\%(^\s*\%(send\|expect\)\s\+\S\+\s\+\)\@<=\%(lines\|writes\)\>\ze\s/
syntax match weirWord /\<\%(of\|with\|from\)\>\ze\s\+[`"A-Za-z_]/
syntax match weirWord /\<\%(in\|out\)\>\ze:/

syntax match weirWord /\<\%(delivers\|as\|by\|because\|sensitive\|strict\|optional\|within\|exclusive\|touches\|unless\|secret\|to\)\>\ze\%(\s*$\|\s\+[^:= ]\|[},]\)/
syntax match weirWord /^\s*\zs\%(emits\|needs\|flat\|loses\|repeats\|orders\|reads\|writes\|requires\|puts\|takes\|waits\|holds\|touches\|exposes\|stores\|rolls\|uses\s\+memory\|uses\s\+disk\)\>\ze\s\+[^:]/
syntax match weirWord /\<\%(varies\|masks\|fails\)\>\ze\%(\s*$\|\s\+because\)/
syntax match weirConditional /\<\%(if\|then\|else\|match\)\>\ze\%(\s*$\|[^:]\)/
syntax match weirOperatorWord /\<\%(and\|or\|not\|in\|is\|matches\|empty\)\>\ze\%(\s*$\|\s\+[^:= ]\|[,)}]\)/
syntax match weirConstant /\<\%(true\|false\|null\)\>/
syntax match weirOperator /[<>=+*]\|->\|=>\|==\|!=\|<=\|>=\|??\|\.\.=\|\.\./

syntax match weirEscape /\\u{\x*}\|\\.\|{{\|}}/ contained
syntax match weirHole /{@\?\h\w*\%(\.\h\w*\)*\%(:[^}"]*\)\?}/ contained
syntax region weirText start=/"/ end=/"/ end=/$/ contains=weirEscape,weirHole oneline
syntax region weirRawText start=/\<r"/ end=/"/ end=/$/ oneline

syntax match weirComment /\/\/.*$/ contains=@Spell
syntax match weirDocumentation /\/\/[/!].*$/ contains=@Spell

highlight default link weirType Type
highlight default link weirHeader Special
highlight default link weirNumber Number
highlight default link weirProperty Identifier
highlight default link weirFunction Function
highlight default link weirItem Keyword
highlight default link weirComponent Identifier
highlight default link weirStep Statement
highlight default link weirWord Keyword
highlight default link weirConditional Conditional
highlight default link weirOperatorWord Operator
highlight default link weirConstant Constant
highlight default link weirOperator Operator
highlight default link weirEscape SpecialChar
highlight default link weirHole SpecialChar
highlight default link weirText String
highlight default link weirRawText String
highlight default link weirComment Comment
highlight default link weirDocumentation SpecialComment

let b:current_syntax = 'weir'

[
  (block) (steps) (chains) (copy) (route) (match) (schema) (quality) (test) (signature) (columns) (variants) (function_body)
  (select_step) (list) (arguments) (parameters) (chain)
] @indent

[ "}" ")" "]" ] @outdent

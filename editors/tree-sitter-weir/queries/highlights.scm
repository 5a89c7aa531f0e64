; Later patterns win where several match.

(identifier) @variable

; ---- Keywords

[
  "import" "as" "param" "let" "schema" "interceptor" "fn" "quality" "flow" "test" "agent" "extern" "parser" "enum" "record"
  "default" "delivers" "by" "in" "sensitive" "field" "strict" "optional" "exclusive" "unless" "because" "secret" "to" "within"
] @keyword

(role) @keyword

[
  "set" "unset" "rename" "select" "parse" "keep" "drop" "reject" "check" "explode" "flatten" "throttle" "sample" "dedupe"
  "copy" "balance" "failover" "send" "expect" "advance" "fail" "times" "lines" "no" "of" "with" "from" "metric" "order" "for" "each" "out"
] @keyword

(crash) @keyword

[ "emits" "needs" "flat" "loses" "repeats" "orders" "reads" "writes" "requires" "puts" "takes" "waits" "holds" "touches" "exposes" "uses" "memory" "disk" "stores" "rolls" "varies" "masks" "fails" ] @keyword

[ "if" "then" "else" "match" ] @keyword.conditional

[ "and" "or" "not" "is" "matches" "empty" ] @keyword.operator

; ---- Names

(type_identifier) @type
((type_identifier) @type.builtin
  (#any-of? @type.builtin
    "Bool" "Int" "Float" "Decimal" "Text" "Bytes" "Time" "Duration" "Size" "Ip" "Json" "Map" "EventRate" "ByteRate" "Percent"
    "Address" "Url" "Glob" "Zone" "Regex" "Network" "Pointer" "TimePattern" "InstantPattern" "Grok" "Group" "Template" "Header"
    "Secret"))

((identifier) @type
  (#match? @type "^[A-Z]"))

(header) @variable.special

(component name: (identifier) @variable)
(component kind: (identifier) @type)
(extern_component name: (identifier) @type)
(extern_component class: (identifier) @constant)
(extern_parser name: (identifier) @function)
(extern_parser class: (identifier) @constant)
(param name: (identifier) @constant)
(let name: (identifier) @constant)
(function_body (let name: (identifier) @variable))
(flow name: (identifier) @function)
(quality name: (identifier) @function)
(interceptor name: (identifier) @function)
(function name: (identifier) @function)
(extern_function name: (identifier) @function)
(parameter name: (identifier) @variable.parameter)
(promise name: (identifier) @constant)
(unit) @constant

(schema_field name: (identifier) @property)
(setting name: (identifier) @property)
(column name: (identifier) @property)
(entry name: (identifier) @property)
(rule name: (identifier) @property)
(member name: (identifier) @property)
(variant name: (identifier) @constant)
(variant_value name: (identifier) @constant)
(argument name: (identifier) @variable.parameter)

(call function: (identifier) @function)
(secret from: (identifier) @function)
(use_step interceptor: (path (identifier) @function))
(check_step quality: (identifier) @function)
(parse_step parser: (identifier) @function)

; ---- Literals

(number) @number
(boolean) @boolean
(null) @constant.builtin
(null_test "null" @constant.builtin)

(string) @string
(raw_string) @string
(escape_sequence) @string.escape
(hole) @embedded
(hole [ "{" "}" ] @punctuation.special)
(hole (identifier) @variable)
(hole (header) @variable.special)
(hole_format) @string.special

; ---- Punctuation

[ "->" "=>" "=" "==" "!=" "<=" ">=" "<" ">" "+" "-" "*" "/" "%" "??" "..=" ".." "|" "?" ] @operator
[ "{" "}" "(" ")" "[" "]" ] @punctuation.bracket
[ "," ":" "." ] @punctuation.delimiter

(comment) @comment
[ (doc_comment) (file_comment) ] @comment.documentation

; Raw text is a regular expression where one is expected.

((binary operator: "matches" right: (raw_string (raw_string_content) @injection.content))
  (#set! injection.language "regex"))

((parse_step (raw_string (raw_string_content) @injection.content))
  (#set! injection.language "regex"))

((argument value: (raw_string (raw_string_content) @injection.content))
  (#set! injection.language "regex"))

((let value: (raw_string (raw_string_content) @injection.content))
  (#set! injection.language "regex"))

([ (comment) (doc_comment) (file_comment) ] @injection.content
  (#set! injection.language "comment"))

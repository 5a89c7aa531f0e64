[ (source_file) (function) (interceptor) (flow) (test) ] @local.scope

(param name: (identifier) @local.definition)
(let name: (identifier) @local.definition)
(let_step name: (identifier) @local.definition)
(component name: (identifier) @local.definition)
(function name: (identifier) @local.definition)
(interceptor name: (identifier) @local.definition)
(quality name: (identifier) @local.definition)
(schema name: (type_identifier) @local.definition)
(parameter name: (identifier) @local.definition)
(import alias: (identifier) @local.definition)

(identifier) @local.reference
(type_identifier) @local.reference

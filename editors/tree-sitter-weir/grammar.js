/**
 * @file The tree-sitter grammar of Weir. Its rules follow `grammar/src/flow.pest`, which is the truth.
 * @license Apache-2.0
 */

/// <reference types="tree-sitter-cli/dsl" />
// @ts-check

// The levels of the operators, from the loosest to the tightest.
const LEVEL = { or: 1, and: 2, not: 3, test: 4, null_or: 5, range: 6, add: 7, multiply: 8, sign: 9, postfix: 10 };

// Keywords that begin a stage of a chain. Alone, each is the name of a component.
const STAGE_WORDS = [
  'set', 'unset', 'rename', 'select', 'parse', 'keep', 'drop', 'reject', 'check', 'let', 'explode', 'flatten',
  'throttle', 'sample', 'dedupe', 'copy', 'balance', 'failover', 'optional',
];

// Keywords that begin a clause of a signature. Before a colon, each is the name of a setting.
const CLAUSE_WORDS = ['emits', 'needs', 'flat', 'loses', 'repeats', 'orders', 'reads', 'writes', 'requires', 'puts', 'takes', 'waits', 'holds', 'touches', 'exposes', 'uses', 'stores', 'rolls'];

/** Entries of a pair of braces, which commas or ends of lines separate. */
const entries = ($, entry) => seq('{', optional(seq(entry, repeat(seq($._separator, entry)), optional($._separator))), '}');

/** A list in parentheses or brackets. */
const listed = (open, entry, close) =>
  seq(open, optional(seq(entry, repeat(seq(',', entry)), optional(','))), close);

/** Names, and keywords that are names at this place. */
const namesWith = ($, words) => choice($.identifier, ...words.map((word) => alias(word, $.identifier)));

module.exports = grammar({
  name: 'weir',

  // The scanner decides which newlines end an entry.
  externals: ($) => [$._newline],

  extras: ($) => [/[ \t\r\n\uFEFF]/, $.comment, $.doc_comment, $.file_comment],

  word: ($) => $.identifier,

  supertypes: ($) => [$.item, $.step, $.edge, $.expression],

  rules: {
    source_file: ($) =>
      seq(repeat($._newline), optional(seq($.item, repeat(seq(repeat1($._newline), $.item)), repeat($._newline)))),

    _separator: ($) => choice(',', $._newline),

    // ---- Items

    item: ($) =>
      choice(
        $.import, $.param, $.let, $.schema, $.component, $.interceptor, $.function, $.quality, $.flow, $.test,
        $.agent, $.extern_component, $.extern_parser, $.extern_function, $.enum, $.record,
      ),

    import: ($) => seq('import', field('path', $._text), optional(seq('as', field('alias', $.identifier)))),
    param: ($) => seq('param', $._setting_after_name),
    let: ($) => $._let_line,
    schema: ($) => seq('schema', field('name', $._type_name), entries($, $.schema_field)),
    component: ($) =>
      seq(
        field('role', $.role), field('name', $._component_name), '=', field('kind', $._kind_name), field('settings', $.block),
      ),
    interceptor: ($) =>
      seq('interceptor', field('name', $.identifier), $.parameters, field('body', $.steps)),
    steps: ($) => entries($, $.step),
    function: ($) =>
      seq('fn', field('name', $.identifier), $.parameters, '->', field('result', $.type), field('body', $.function_body)),
    quality: ($) => seq('quality', field('name', $.identifier), entries($, $.rule)),
    flow: ($) => seq('flow', field('name', $.identifier), optional($.delivers), field('body', $.chains)),
    test: ($) =>
      seq('test', field('title', $._text), optional($.test_subject), optional($.test_params), entries($, $._act)),
    test_subject: ($) =>
      seq('of', optional(seq(field('qualifier', $.identifier), '.')), field('name', $.identifier), optional($.arguments), optional($.test_schema)),
    test_schema: ($) => seq('as', optional(seq(field('qualifier', $.identifier), '.')), field('name', $.identifier)),
    test_params: ($) => seq('with', $.entry, repeat(seq(',', $.entry))),
    agent: ($) => seq('agent', field('settings', $.block)),

    extern_component: ($) =>
      seq(
        'extern', field('role', $.role), field('name', $._kind_name), ':', field('class', $.identifier), optional('default'),
        field('body', $.signature),
      ),
    extern_parser: ($) =>
      seq('extern', 'parser', field('name', $.identifier), ':', field('class', $.identifier), field('body', $.signature)),
    extern_function: ($) =>
      seq(
        'extern', 'fn', field('name', $.identifier), optional($.type_parameters), $.parameters, '->', field('result', $.type),
        optional(seq('in', $.range)), repeat(choice('varies', 'masks', seq('fails', $.because))),
      ),
    enum: ($) => seq('enum', field('name', $._type_name), field('body', $.variants)),
    record: ($) => seq('record', field('name', $._type_name), field('body', $.signature)),

    role: (_) => choice('source', 'channel', 'sink'),
    _let_line: ($) => seq('let', field('name', $.identifier), '=', field('value', $.expression)),

    schema_field: ($) =>
      seq(
        field('name', $.identifier), ':', field('type', $.type),
        choice(seq(optional('sensitive'), optional($._reading)), seq($._reading, 'sensitive')),
      ),
    _reading: ($) => choice(seq('in', choice($.range, alias($.identifier, $.unit))), seq('as', $._text)),
    rule: ($) => seq(optional(seq(field('name', $.identifier), ':')), $.expression, optional($.because)),
    because: ($) => seq('because', $._text),

    parameters: ($) => listed('(', $.parameter, ')'),
    parameter: ($) =>
      seq(
        field('name', $.identifier), ':',
        choice(seq('field', optional($.type)), seq($.type, repeat(seq('|', $.type)))),
        optional(seq('=', field('default', $.expression))),
      ),
    function_body: ($) =>
      seq(
        '{', repeat(seq(alias($._let_line, $.let), $._separator)), optional(seq($.expression, optional($._separator))), '}',
      ),

    // ---- Signatures

    signature: ($) => entries($, choice($.clause, $.setting)),
    setting: ($) => seq(field('name', namesWith($, CLAUSE_WORDS)), ':', $._setting_type),
    _setting_after_name: ($) => seq(field('name', $.identifier), ':', $._setting_type),
    _setting_type: ($) =>
      seq(
        field('type', $.type), optional(choice($.exclusive, seq('in', $.range))), repeat($.touches), optional(seq('=', field('default', $.expression))),
      ),
    touches: ($) => seq('touches', $.identifier, optional(seq('if', $.expression))),
    exclusive: ($) => seq('exclusive', optional(seq('in', $.range)), optional(seq('unless', $.expression))),
    clause: ($) =>
      choice(
        seq(choice('emits', 'needs'), $.columns),
        seq('flat', $.because),
        seq('loses', optional($._only_if), $.because),
        seq('repeats', optional($._only_if), optional(seq('unless', $.expression)), $.because),
        seq(choice('reads', 'writes'), $.identifier, optional(seq('within', $.identifier))),
        seq('orders', choice(seq('by', choice($.header, $.identifier)), $.identifier), optional($._only_if), $.because),
        seq(choice('puts', 'takes', 'waits', 'holds', 'stores', 'rolls'), $.expression, optional($._only_if), $.because),
        seq('uses', choice('memory', 'disk'), $.expression, optional($._only_if), $.because),
        seq('requires', $.expression, $.because),
        seq('touches', $.identifier, $._text, optional($._only_if)),
        seq('exposes', $.identifier, optional($._only_if), $.because),
      ),
    _only_if: ($) => seq('if', $.expression),
    columns: ($) => entries($, $.column),
    column: ($) => seq(field('name', choice($.header, $.identifier)), ':', field('type', $.type)),
    variants: ($) => entries($, $.variant),
    variant: ($) => seq(field('name', $.identifier), optional($.signature)),
    type_parameters: ($) => seq('<', $.type_parameter, repeat(seq(',', $.type_parameter)), '>'),
    type_parameter: ($) => seq(field('name', $._type_name), ':', field('bound', $._type_name)),

    // ---- Types

    type: ($) =>
      seq(choice($.list_type, seq($._type_path, optional(choice($.type_argument, $.type_sizes)))), optional('?')),
    list_type: ($) => seq('[', $.type, ']'),
    type_argument: ($) => seq('<', $.type, '>'),
    type_sizes: ($) => seq('(', $._size, ',', $._size, ')'),
    _size: ($) => choice($.number, $.identifier),
    _type_name: ($) => alias($.identifier, $.type_identifier),
    _type_path: ($) => seq(optional(seq(field('qualifier', $.identifier), '.')), $._type_name),
    range: ($) => seq($._bound, choice(seq('..=', $._bound), seq('..', optional($._bound)))),
    _bound: ($) => seq(optional('-'), $.number),

    // ---- Expressions

    expression: ($) => choice($.conditional, $._operation),
    conditional: ($) =>
      seq(
        'if', field('condition', $._operation), 'then', field('consequence', $._operation),
        repeat(seq('else', 'if', field('condition', $._operation), 'then', field('consequence', $._operation))),
        'else', field('alternative', $._operation),
      ),

    _operation: ($) =>
      choice(
        $.binary, $.unary, $.null_test, $.call, $.index, $.member, $.string, $.raw_string, $.list, $.block, $.number,
        $.header, $.secret, $.match, $.parenthesized, $.variant_value, $.boolean, $.null, $._expression_name,
      ),
    _expression_name: ($) => namesWith($, ['secret']),

    binary: ($) =>
      choice(
        ...[
          [LEVEL.or, 'or'], [LEVEL.and, 'and'],
          [LEVEL.test, choice('==', '!=', '<=', '>=', '<', '>', 'in', 'matches')],
          [LEVEL.null_or, '??'], [LEVEL.range, '..='],
          [LEVEL.add, choice('+', '-')], [LEVEL.multiply, choice('*', '/', '%')],
        ].map(([level, operator]) =>
          prec.left(level, seq(field('left', $._operation), field('operator', operator), field('right', $._operation))),
        ),
      ),
    unary: ($) =>
      choice(prec(LEVEL.not, seq(field('operator', 'not'), $._operation)), prec(LEVEL.sign, seq(field('operator', '-'), $._operation))),
    null_test: ($) => prec.left(LEVEL.test, seq($._operation, 'is', optional('not'), choice('null', 'empty'))),
    call: ($) => prec(LEVEL.postfix, seq(field('function', $._operation), field('arguments', $.arguments))),
    index: ($) => prec(LEVEL.postfix, seq($._operation, '[', $.expression, ']')),
    member: ($) => prec(LEVEL.postfix, seq($._operation, '.', field('name', $.identifier))),

    list: ($) => listed('[', $.expression, ']'),
    block: ($) => entries($, $.entry),
    entry: ($) => seq(field('name', choice($.header, $.identifier)), ':', field('value', $.expression)),
    variant_value: ($) => prec(LEVEL.postfix, seq(field('name', choice($._expression_name, $.null)), field('settings', $.block))),
    secret: ($) => seq('secret', field('from', $.identifier), $.arguments),
    arguments: ($) => listed('(', $.argument, ')'),
    argument: ($) => seq(optional(seq(field('name', $.identifier), ':')), field('value', $.expression)),
    parenthesized: ($) => seq('(', $.expression, optional(seq('else', $.expression)), ')'),

    match: ($) => seq('match', optional(field('subject', $._subject)), entries($, $.arm)),
    // A subject has no braces, since the arms follow it.
    _subject: ($) =>
      choice(
        $.header, $.parenthesized, $.identifier, $.boolean, $.null, alias($._subject_call, $.call),
        alias($._subject_index, $.index), alias($._subject_member, $.member),
      ),
    _subject_call: ($) => seq(field('function', $._subject), field('arguments', $.arguments)),
    _subject_index: ($) => seq($._subject, '[', $.expression, ']'),
    _subject_member: ($) => seq($._subject, '.', field('name', $.identifier)),
    arm: ($) => seq($.expression, repeat(seq('|', $.expression)), '=>', field('value', $.expression)),

    // ---- Flows

    delivers: ($) => seq('delivers', $.promise, repeat(seq(',', $.promise))),
    promise: ($) =>
      seq(field('name', $.identifier), optional(choice(seq('by', choice($.header, $.identifier)), $.identifier))),
    chains: ($) => entries($, $.chain),
    chain: ($) => seq($._stage, repeat(seq('->', $._stage))),
    _stage: ($) => choice($.edge, $.step, $.place),
    place: ($) => $._place_path,
    _place_path: ($) => seq($._stage_name, optional(seq('.', field('name', $.identifier)))),
    _stage_name: ($) => namesWith($, [...STAGE_WORDS, 'in']),
    _component_name: ($) => namesWith($, ['in']),
    _kind_name: ($) => namesWith($, ['null']),

    edge: ($) => choice($.copy, $.route, $.balance, $.failover),
    copy: ($) => seq('copy', entries($, $.branch)),
    branch: ($) => seq(optional('optional'), $.chain),
    route: ($) => seq('match', entries($, $.case)),
    case: ($) => seq(field('condition', $.expression), '->', $.chain),
    balance: ($) => seq('balance', optional(seq('by', field('key', $._subject))), $.chains),
    failover: ($) => seq('failover', $.chains),

    // ---- Steps

    step: ($) =>
      choice(
        $.set_step, $.unset_step, $.rename_step, $.select_step, $.parse_step, $.filter_step, $.reject_step, $.check_step,
        $.let_step, $.explode_step, $.flatten_step, $.throttle_step, $.sample_step, $.dedupe_step, $.use_step,
      ),
    set_step: ($) => seq('set', field('target', $._target), '=', field('value', $.expression), optional($.handler)),
    unset_step: ($) => seq('unset', field('target', $._target)),
    rename_step: ($) => seq('rename', field('from', $._target), 'to', field('to', $._target)),
    select_step: ($) => seq('select', entries($, $._target)),
    parse_step: ($) =>
      seq(
        'parse', field('parser', $._parser_path), optional(choice($.arguments, $._text)),
        optional(seq('as', $._type_path)), optional('strict'), optional($.handler),
      ),
    _parser_path: ($) => seq(optional(seq(field('qualifier', $.identifier), '.')), $.identifier),
    filter_step: ($) => seq(choice('keep', 'drop'), 'if', field('condition', $.expression), optional($.handler)),
    reject_step: ($) =>
      seq('reject', choice(seq('if', field('condition', $.expression), optional($.because), optional($.handler)), $.because)),
    check_step: ($) => seq('check', optional(seq(field('qualifier', $.identifier), '.')), field('quality', $.identifier)),
    let_step: ($) => seq($._let_line, optional($.handler)),
    explode_step: ($) => seq('explode', field('target', $._target)),
    flatten_step: ($) => seq('flatten', field('target', $._target)),
    // `throttle (…)` is this step, not the use of an interceptor.
    throttle_step: ($) => prec(1, seq('throttle', $.expression)),
    sample_step: ($) => prec(1, seq('sample', $.expression)),
    dedupe_step: ($) => seq('dedupe', 'by', field('value', $.expression), 'within', field('time', $.expression)),
    use_step: ($) => seq(field('interceptor', alias($._place_path, $.path)), $.arguments),

    _target: ($) => choice($.header, $.identifier),
    handler: ($) => seq('else', choice('reject', 'drop', $.expression)),

    // ---- Tests

    _act: ($) => choice($.send, $.expect, $.advance, $.fail, $.crash, $.for_each),
    send: ($) => seq('send', $._tested, optional('lines'), choice($.list, seq('from', $._text))),
    expect: ($) =>
      seq(
        'expect',
        choice(
          seq('no', $.identifier),
          seq($._tested, choice($.list, seq('from', $._text))),
          seq($._tested, 'writes', $.list),
          seq('metric', $._tested, choice('==', '!=', '<=', '>=', '<', '>'), $.expression),
          'order',
        ),
      ),
    advance: ($) => seq('advance', $.expression),
    fail: ($) => seq('fail', $._tested, choice(seq($.number, 'times'), $.identifier)),
    crash: (_) => 'crash',
    for_each: ($) => seq('for', 'each', entries($, $.row)),
    row: ($) => seq('in', ':', field('given', $.expression), ',', 'out', ':', field('out', $.expression)),
    _tested: ($) => alias($._tested_path, $.place),
    _tested_path: ($) => seq(namesWith($, ['no', 'in', 'metric', 'order']), optional(seq('.', field('name', $.identifier)))),

    // ---- Text

    _text: ($) => choice($.string, $.raw_string),
    string: ($) =>
      seq('"', repeat(choice($.string_content, $.escape_sequence, $.hole, token.immediate('}'))), token.immediate('"')),
    string_content: (_) => token.immediate(prec(1, /[^"\\{}\n]+/)),
    escape_sequence: (_) => token.immediate(choice('{{', '}}', /\\u\{[0-9a-fA-F]*\}/, /\\[^\n]/)),
    hole: ($) =>
      seq(
        token.immediate('{'),
        choice(
          alias(token.immediate(/@[A-Za-z_][A-Za-z0-9_]*/), $.header),
          alias(token.immediate(/[A-Za-z_][A-Za-z0-9_]*/), $.identifier),
        ),
        repeat(seq(token.immediate('.'), alias(token.immediate(/[A-Za-z_][A-Za-z0-9_]*/), $.identifier))),
        optional(seq(token.immediate(':'), optional($.hole_format))),
        token.immediate('}'),
      ),
    hole_format: (_) => token.immediate(/[^}"\n]+/),
    raw_string: ($) => seq('r"', optional($.raw_string_content), token.immediate('"')),
    raw_string_content: (_) => token.immediate(prec(1, /[^"\n]+/)),

    // ---- Names and numbers

    identifier: (_) => /[A-Za-z_][A-Za-z0-9_]*|`[A-Za-z_][A-Za-z0-9_]*`/,
    header: (_) => /@[A-Za-z_][A-Za-z0-9_]*/,
    // With a unit, `%` or `/s`: `10MiB/s`.
    number: (_) => /[0-9]([A-Za-z0-9_]|\.[0-9])*(%|\/[A-Za-z_]+)?/,
    boolean: (_) => choice('true', 'false'),
    null: (_) => 'null',

    comment: (_) => token(choice(/\/\/([^\/!\n][^\n]*)?/, /\/\/\/\/[^\n]*/)),
    doc_comment: (_) => token(/\/\/\/([^\/\n][^\n]*)?/),
    file_comment: (_) => token(/\/\/![^\n]*/),
  },
});

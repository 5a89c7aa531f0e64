/** The TextMate grammar: every token of every correct program has a meaning, and keywords have the right one. */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { loadGrammar, tokens } from './textmate.mjs';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const FOLDERS = ['tests/language/right', 'examples', 'stdlib/src'];
const PROGRAMS_MIN = 60;

const grammar = await loadGrammar();

function programs(folder) {
  const names = readdirSync(join(ROOT, folder), { recursive: true });
  return names.map(String).filter((name) => name.endsWith('.flow')).map((name) => join(folder, name));
}

/** Returns the innermost scope of a word where it stands in a text after `|`. */
function scopeIn(marked) {
  const at = marked.indexOf('|');
  const text = marked.slice(0, at) + marked.slice(at + 1);
  const line = text.slice(0, at).split('\n').length;
  const column = at - (text.lastIndexOf('\n', at - 1) + 1);
  let seen = 0;
  const found = tokens(grammar, text).find((token) => {
    if (token.line !== line) {
      return false;
    }
    seen += token.text.length;
    return seen > column;
  });
  return found?.scopes.at(-1);
}

test('every token of every correct program has a scope', () => {
  const paths = FOLDERS.flatMap(programs);
  assert.ok(paths.length >= PROGRAMS_MIN, `only ${paths.length} programs`);
  const faults = paths.flatMap((path) =>
    tokens(grammar, readFileSync(join(ROOT, path), 'utf8'))
      .filter((token) => token.scopes.length === 1 && token.text.trim() !== '')
      .map((token) => `${path}:${token.line}: ${token.text}`),
  );
  assert.deepEqual(faults, []);
});

test('no text or comment goes on after its line', () => {
  const faults = FOLDERS.flatMap(programs).flatMap((path) =>
    tokens(grammar, readFileSync(join(ROOT, path), 'utf8'))
      .filter((token) => token.depth !== 1)
      .map((token) => `${path}:${token.line}`),
  );
  assert.deepEqual(faults, []);
});

test('every keyword of the grammar is a keyword somewhere in the correct programs', () => {
  const pest = readFileSync(join(ROOT, 'grammar/src/flow.pest'), 'utf8');
  const words = [...pest.matchAll(/^\w+_word\s*= @\{ "(\w+)"/gm)].map((match) => match[1]);
  assert.ok(words.length > 60, `only ${words.length} words`);
  const highlighted = new Set();
  const documents = readFileSync(join(ROOT, 'docs/language.md'), 'utf8').split('\n```');
  const texts = FOLDERS.flatMap(programs).map((path) => readFileSync(join(ROOT, path), 'utf8'));
  texts.push(...documents.filter((block) => block.startsWith('flow')));
  for (const text of texts) {
    for (const token of tokens(grammar, text)) {
      if (/^(keyword|storage|constant\.language)/.test(token.scopes.at(-1))) {
        token.text.split(/\W+/).forEach((word) => highlighted.add(word));
      }
    }
  }
  assert.deepEqual(words.filter((word) => !highlighted.has(word)), []);
});

const CASES = [
  ['|source a = kafka {}', 'storage.type.weir'],
  ['source |a = kafka {}', 'variable.other.component.weir'],
  ['source a = |kafka {}', 'support.class.weir'],
  ['param topic: |Text = "x"', 'support.type.weir'],
  ['let a = |5min', 'constant.numeric.weir'],
  ['let a = |10MiB/s', 'constant.numeric.weir'],
  ['flow a |delivers at_least_once {', 'keyword.other.weir'],
  ['flow a { b -> |keep if c -> d }', 'keyword.control.step.weir'],
  ['flow a { b -> keep |if c -> d }', 'keyword.control.conditional.weir'],
  ['flow a { b -> parse |json as C else reject -> d }', 'entity.name.function.weir'],
  ['flow a { b -> parse json |as C else reject -> d }', 'keyword.other.weir'],
  ['flow a { b -> parse json as |C else reject -> d }', 'entity.name.type.weir'],
  ['flow a { b -> parse json as C else |reject -> d }', 'keyword.control.step.weir'],
  ['flow a { b -> set |@host = c -> d }', 'variable.language.header.weir'],
  ['flow a { |set -> d }', 'variable.other.weir'],
  ['flow a { b -> copy { |optional c } }', 'keyword.other.weir'],
  ['flow a { b -> copy { |optional } }', 'variable.other.weir'],
  ['  |source: Text', 'variable.other.property.weir'],
  ['  |test: Text', 'variable.other.property.weir'],
  ['  |requires: Text', 'variable.other.property.weir'],
  ['  |requires a is null because "b"', 'keyword.other.weir'],
  ['  requires a is null |because "b"', 'keyword.other.weir'],
  ['let a = "x |\\n"', 'constant.character.escape.weir'],
  ['let a = "{|@host}"', 'variable.language.header.weir'],
  ['let a = "{b:|%Y}"', 'constant.other.format.weir'],
  ['let a = "|{{b}}"', 'constant.character.escape.weir'],
  ['let a = r"|\\d+"', 'constant.character.escape.regexp.weir'],
  ['let a = r"{|b}"', 'string.regexp.weir'],
  ['let a = "// |no comment"', 'string.quoted.double.weir'],
  ['let a = 1 // |comment', 'comment.line.double-slash.weir'],
  ['/// |doc', 'comment.line.documentation.weir'],
  ['//// |comment', 'comment.line.double-slash.weir'],
  ['let a = "unclosed\n|let b = 1', 'storage.type.weir'],
  ['channel |`match` = memory {}', 'variable.other.component.weir'],
];

for (const [marked, scope] of CASES) {
  test(`${JSON.stringify(marked)} is ${scope}`, () => assert.equal(scopeIn(marked), scope));
}

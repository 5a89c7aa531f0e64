/** Reads texts with the TextMate grammar, as VS Code does. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

import oniguruma from 'vscode-oniguruma';
import textmate from 'vscode-textmate';

const require = createRequire(import.meta.url);
const PATH = fileURLToPath(new URL('../syntaxes/weir.tmLanguage.json', import.meta.url));

/** Returns the grammar. */
export async function loadGrammar() {
  await oniguruma.loadWASM(readFileSync(require.resolve('vscode-oniguruma/release/onig.wasm')));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async (scope) =>
      scope === 'source.weir' ? textmate.parseRawGrammar(readFileSync(PATH, 'utf8'), PATH) : null,
  });
  return registry.loadGrammar('source.weir');
}

/** Returns the tokens of a text: its line from 1, its text, its scopes from the outermost to the innermost. */
export function tokens(grammar, text) {
  let state = textmate.INITIAL;
  return text.split('\n').flatMap((line, index) => {
    const read = grammar.tokenizeLine(line, state);
    state = read.ruleStack;
    return read.tokens.map((token) => ({
      line: index + 1,
      text: line.slice(token.startIndex, token.endIndex),
      scopes: token.scopes,
      depth: read.ruleStack.depth,
    }));
  });
}

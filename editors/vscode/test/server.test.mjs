/** `weir lsp`, as the protocol library of VS Code sees it: every request that the server offers. */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { Client } from './client.mjs';

const WEIR = process.env.WEIR_BIN;
assert.ok(WEIR, 'WEIR_BIN must name the program weir');

const SHARED = `//! What several programs share.

/// What a shop has sold.
schema Order {
  /// The customer.
  customer: Text
  amount:   Int
}

/// Orders above it are large.
let limit = 100

/// Writes small letters.
interceptor tidy(who: field Text) {
  set who = lower(who)
}
`;

const MAIN = `//! Orders into files.

import "shared.flow"

/// Where the orders are.
param folder: Text = "orders"

source orders = files { paths: ["{folder}/*.json"] }
channel buffer = memory { capacity: 1_000 }
sink large = files { path: "large/{customer}", format: json }

flow main delivers at_least_once {
  orders
    -> parse json as Order else drop
    -> keep if amount > limit
    -> tidy(customer)
    -> set double = amount + amount else drop
    -> buffer
    -> large
}
`;

const FILES = { 'shared.flow': SHARED, 'main.flow': MAIN };

/** The capabilities whose requests a test below sends. */
const tested = new Set();

/** Sends the requests of a capability, if the server offers it. */
function offers(capability, name, run) {
  tested.add(capability);
  test(`${capability}: ${name}`, async (context) => {
    if (!client.initialized.capabilities[capability]) {
      context.skip(`the server does not offer ${capability}`);
      return;
    }
    await run();
  });
}

let client;

before(async () => {
  // Without pull, the server publishes diagnostics by itself.
  client = await Client.start({ weir: WEIR, files: FILES });
  await client.open('main.flow');
});

after(async () => {
  assert.equal(await client.stop(), 0, 'the exit status after shutdown and exit');
});

/** Returns the text of a hover or a documentation. */
function words(markup) {
  return typeof markup === 'string' ? markup : markup.value;
}

/** Returns the place of a location or a link: the name of its file, and the line from 1. */
function place(location) {
  const uri = location.targetUri ?? location.uri;
  const range = location.targetSelectionRange ?? location.range;
  return `${uri.split('/').pop()}:${range.start.line + 1}`;
}

const list = (value) => (value === null || value === undefined ? [] : Array.isArray(value) ? value : [value]);

test('a correct program has no diagnostics', async () => {
  assert.deepEqual(await client.diagnostics('main.flow'), []);
});

offers('textDocumentSync', 'a mistake is published, and its correction', async () => {
  await client.edit('main.flow', 'capacity: 1_000', 'capcity: 1_000');
  const [found, ...others] = await client.diagnostics('main.flow');
  assert.deepEqual(others, []);
  assert.equal(found.code, 'E0203');
  assert.equal(found.severity, 1);
  assert.equal(client.text('main.flow', found.range), 'capcity');
  await client.edit('main.flow', 'capcity', 'capacity');
  assert.deepEqual(await client.diagnostics('main.flow'), []);
});

test('a mistake in an imported file is published where it is', async () => {
  await client.open('shared.flow');
  await client.edit('shared.flow', 'amount:   Int', 'amount:   Itn');
  const [found] = await client.diagnostics('shared.flow', (diagnostics) => diagnostics.length > 0);
  assert.equal(client.text('shared.flow', found.range), 'Itn');
  await client.edit('shared.flow', 'Itn', 'Int');
  await client.diagnostics('shared.flow', (diagnostics) => diagnostics.length === 0);
  assert.deepEqual(await client.diagnostics('main.flow'), []);
});

offers('positionEncoding', 'columns behind letters of several units are right', async () => {
  const name = 'letters.flow';
  await client.open(name, 'let a = "🌊ä" + nowhere\nsource in = generate {}\nsink out = stdout {}\nflow main { in -> out }\n');
  const found = await client.diagnostics(name);
  assert.ok(found.some((one) => client.text(name, one.range) === 'nowhere'), JSON.stringify(found));
});

offers('hoverProvider', 'a definition with its comment', async () => {
  const hover = await client.at('textDocument/hover', 'main.flow', 'Order else', 1);
  assert.match(words(hover.contents), /What a shop has sold/);
  assert.equal(await client.at('textDocument/hover', 'main.flow', '\n\nimport', 1), null);
});

offers('definitionProvider', 'of names in this and in another file, and in the library', async () => {
  const at = async (found, more) => list(await client.at('textDocument/definition', 'main.flow', found, more)).map(place);
  assert.deepEqual(await at('limit', 1), ['shared.flow:11']);
  assert.deepEqual(await at('-> buffer', 4), ['main.flow:9']);
  const [kind] = list(await client.at('textDocument/definition', 'main.flow', 'files {', 1));
  const uri = kind.targetUri ?? kind.uri;
  const { text } = await client.request('workspace/textDocumentContent', { uri });
  assert.match(text, /extern source files/);
});

offers('typeDefinitionProvider', 'the schema of a field', async () => {
  await client.at('textDocument/typeDefinition', 'main.flow', 'amount > limit', 1);
});

offers('referencesProvider', 'in all files', async () => {
  const found = await client.at('textDocument/references', 'main.flow', 'limit', 1, { context: { includeDeclaration: true } });
  assert.deepEqual(found.map(place).sort(), ['main.flow:15', 'shared.flow:11']);
});

offers('documentHighlightProvider', 'the uses in this file', async () => {
  const found = await client.at('textDocument/documentHighlight', 'main.flow', 'channel buffer', 9);
  assert.deepEqual(found.map((one) => one.range.start.line + 1).sort((left, right) => left - right), [9, 18]);
});

offers('renameProvider', 'changes both files', async () => {
  const prepared = await client.at('textDocument/prepareRename', 'main.flow', 'limit', 1);
  assert.equal(client.text('main.flow', prepared.range ?? prepared), 'limit');
  const edit = await client.at('textDocument/rename', 'main.flow', 'limit', 1, { newName: 'bound' });
  const changes = edit.documentChanges ?? Object.entries(edit.changes).map(([uri, edits]) => ({ textDocument: { uri }, edits }));
  const changed = Object.fromEntries(
    changes.map(({ textDocument, edits }) => {
      const name = textDocument.uri.split('/').pop();
      return [name, Client.applied(client.texts[name].text, edits)];
    }),
  );
  assert.deepEqual(Object.keys(changed).sort(), ['main.flow', 'shared.flow']);
  assert.match(changed['main.flow'], /amount > bound\n/);
  assert.match(changed['shared.flow'], /let bound = 100\n/);
  await assert.rejects(client.at('textDocument/rename', 'main.flow', 'limit', 1, { newName: 'a b' }));
});

offers('completionProvider', 'settings, and the columns of events', async () => {
  const items = async (found, more) => {
    const answer = await client.at('textDocument/completion', 'main.flow', found, more);
    return answer.items ?? answer;
  };
  await client.edit('main.flow', 'memory { capacity: 1_000 }', 'memory { cap }');
  const settings = await items('cap }', 3);
  const capacity = settings.find((item) => item.label.startsWith('capacity'));
  assert.ok(capacity, settings.map((item) => item.label).join(' '));
  if (client.initialized.capabilities.completionProvider.resolveProvider) {
    assert.ok((await client.request('completionItem/resolve', capacity)).label);
  }
  await client.edit('main.flow', 'memory { cap }', 'memory { capacity: 1_000 }');
  await client.edit('main.flow', 'amount > limit', 'am > limit');
  const columns = await items('am > limit', 2);
  assert.ok(columns.some((item) => item.label.startsWith('amount')), columns.map((item) => item.label).join(' '));
  await client.edit('main.flow', 'am > limit', 'amount > limit');
});

offers('signatureHelpProvider', 'the parameters of a function', async () => {
  await client.edit('main.flow', 'amount > limit', 'starts_with(customer, "a")');
  const help = await client.at('textDocument/signatureHelp', 'main.flow', 'customer, "a")', 10);
  assert.match(help.signatures[0].label, /starts_with/);
  assert.equal(help.activeParameter ?? help.signatures[0].activeParameter, 1);
  await client.edit('main.flow', 'starts_with(customer, "a")', 'amount > limit');
});

offers('documentFormattingProvider', 'writes the canonical form', async () => {
  await client.edit('main.flow', 'sink large = files', 'sink   large=files');
  const edits = await client.request('textDocument/formatting', {
    textDocument: client.document('main.flow'),
    options: { tabSize: 2, insertSpaces: true },
  });
  assert.equal(Client.applied(client.texts['main.flow'].text, edits), MAIN);
  await client.edit('main.flow', 'sink   large=files', 'sink large = files');
});

offers('documentRangeFormattingProvider', 'of a selection', async () => {
  await client.edit('main.flow', 'sink large = files', 'sink   large=files');
  const start = client.position('main.flow', 'sink   large');
  const edits = await client.request('textDocument/rangeFormatting', {
    textDocument: client.document('main.flow'),
    range: { start, end: { ...start, character: start.character + 4 } },
    options: { tabSize: 2, insertSpaces: true },
  });
  assert.equal(Client.applied(client.texts['main.flow'].text, edits), MAIN);
  await client.edit('main.flow', 'sink   large=files', 'sink large = files');
});

offers('documentOnTypeFormattingProvider', 'after a closing brace', async () => {
  await client.edit('main.flow', 'channel buffer = memory { capacity: 1_000 }', 'channel buffer=memory { capacity: 1_000 }');
  const edits = await client.at('textDocument/onTypeFormatting', 'main.flow', 'capacity: 1_000 }', 17, {
    ch: '}',
    options: { tabSize: 2, insertSpaces: true },
  });
  assert.equal(Client.applied(client.texts['main.flow'].text, edits), MAIN);
  await client.edit('main.flow', 'buffer=memory', 'buffer = memory');
});

offers('codeActionProvider', 'corrects a mistake', async () => {
  await client.edit('main.flow', 'capacity: 1_000', 'capcity: 1_000');
  const diagnostics = await client.diagnostics('main.flow');
  const actions = await client.request('textDocument/codeAction', {
    textDocument: client.document('main.flow'),
    range: diagnostics[0].range,
    context: { diagnostics, only: ['quickfix'] },
  });
  let [action] = actions;
  assert.equal(action.kind, 'quickfix');
  if (action.edit === undefined) {
    action = await client.request('codeAction/resolve', action);
  }
  const edits = action.edit.documentChanges?.[0].edits ?? Object.values(action.edit.changes)[0];
  assert.equal(Client.applied(client.texts['main.flow'].text, edits), MAIN);
  await client.edit('main.flow', 'capcity', 'capacity');
});

offers('documentSymbolProvider', 'the items of the file', async () => {
  const symbols = await client.request('textDocument/documentSymbol', { textDocument: client.document('main.flow') });
  assert.deepEqual(symbols.map((symbol) => symbol.name), ['folder', 'orders', 'buffer', 'large', 'main']);
});

offers('workspaceSymbolProvider', 'of all files', async () => {
  const symbols = await client.request('workspace/symbol', { query: 'limit' });
  assert.ok(symbols.some((symbol) => symbol.name === 'limit' && place(symbol.location).startsWith('shared.flow')), JSON.stringify(symbols));
});

offers('semanticTokensProvider', 'of the file and of a range', async () => {
  const { legend, range } = client.initialized.capabilities.semanticTokensProvider;
  const textDocument = client.document('main.flow');
  const { data, resultId } = await client.request('textDocument/semanticTokens/full', { textDocument });
  assert.ok(data.length > 0 && data.length % 5 === 0);
  assert.ok(data.every((value, at) => at % 5 !== 3 || value < legend.tokenTypes.length));
  if (range) {
    const lines = { start: { line: 0, character: 0 }, end: { line: 8, character: 0 } };
    const some = await client.request('textDocument/semanticTokens/range', { textDocument, range: lines });
    assert.deepEqual(some.data, data.slice(0, some.data.length));
  }
  if (client.initialized.capabilities.semanticTokensProvider.full?.delta) {
    await client.edit('main.flow', 'channel buffer', 'channel  buffer');
    const delta = await client.request('textDocument/semanticTokens/full/delta', { textDocument, previousResultId: resultId });
    assert.ok(delta.edits !== undefined || delta.data !== undefined);
    await client.edit('main.flow', 'channel  buffer', 'channel buffer');
  }
});

offers('inlayHintProvider', 'of the whole file', async () => {
  const hints = await client.request('textDocument/inlayHint', {
    textDocument: client.document('main.flow'),
    range: { start: { line: 0, character: 0 }, end: { line: 100, character: 0 } },
  });
  assert.ok(hints.length > 0);
  if (client.initialized.capabilities.inlayHintProvider.resolveProvider) {
    assert.ok(await client.request('inlayHint/resolve', hints[0]));
  }
});

offers('foldingRangeProvider', 'braces fold', async () => {
  const ranges = await client.request('textDocument/foldingRange', { textDocument: client.document('main.flow') });
  assert.ok(ranges.some((range) => range.startLine === 11), JSON.stringify(ranges));
});

offers('selectionRangeProvider', 'grows from a name to its item', async () => {
  const positions = [client.position('main.flow', 'limit', 1)];
  const [selection] = await client.request('textDocument/selectionRange', { textDocument: client.document('main.flow'), positions });
  const texts = [];
  for (let range = selection; range; range = range.parent) {
    texts.push(client.text('main.flow', range.range));
  }
  assert.equal(texts[0], 'limit');
  assert.ok(texts.includes('amount > limit') && texts.some((text) => text.startsWith('flow main')), texts.join('\n--\n'));
});

offers('codeLensProvider', 'of the file', async () => {
  const lenses = await client.request('textDocument/codeLens', { textDocument: client.document('main.flow') });
  assert.ok(lenses.length > 0);
  if (client.initialized.capabilities.codeLensProvider.resolveProvider) {
    assert.ok((await client.request('codeLens/resolve', lenses[0])).command);
  }
});

offers('documentLinkProvider', 'imports lead to their files', async () => {
  const links = await client.request('textDocument/documentLink', { textDocument: client.document('main.flow') });
  assert.ok(links.some((link) => link.target?.endsWith('shared.flow')), JSON.stringify(links));
});

offers('callHierarchyProvider', 'who uses an interceptor', async () => {
  const [item] = await client.at('textDocument/prepareCallHierarchy', 'main.flow', 'tidy(customer)', 1);
  const callers = await client.request('callHierarchy/incomingCalls', { item });
  assert.ok(callers.length > 0);
  assert.ok(Array.isArray(await client.request('callHierarchy/outgoingCalls', { item })));
});

offers('linkedEditingRangeProvider', 'answers', async () => {
  await client.at('textDocument/linkedEditingRange', 'main.flow', 'limit', 1);
});

offers('declarationProvider', 'is the definition', async () => {
  const found = list(await client.at('textDocument/declaration', 'main.flow', 'limit', 1));
  assert.deepEqual(found.map(place), ['shared.flow:11']);
});

offers('executeCommandProvider', 'draws graphs and shows plans', async () => {
  const { commands } = client.initialized.capabilities.executeCommandProvider;
  assert.deepEqual([...commands].sort(), ['weir.runTest', 'weir.runTests', 'weir.showGraph', 'weir.showPlan']);
  for (const command of ['weir.showGraph', 'weir.showPlan']) {
    const { text } = await client.request('workspace/executeCommand', { command, arguments: [client.uri('main.flow')] });
    assert.match(text, /orders/);
  }
  await assert.rejects(client.request('workspace/executeCommand', { command: 'nothing', arguments: [] }));
});

test('what no test has reached is marked', async () => {
  const name = 'tested.flow';
  const program = `source lines = files { paths: ["*.log"] }
sink out = files { path: "out" }
sink others = files { path: "others" }

flow main delivers at_least_once {
  lines
    -> match {
      starts_with(body, "a") -> out
      _ -> set @rest = true -> others
    }
}

test "one branch" {
  send lines ["a"]
  expect out [{ body: "a" }]
}
`;
  await client.open(name, program);
  await client.diagnostics(name);
  const { text } = await client.request('workspace/executeCommand', { command: 'weir.runTests', arguments: [client.uri(name)] });
  assert.match(text, /one branch: ok/);
  const marks = await client.diagnostics(name, (diagnostics) => diagnostics.length > 0);
  assert.ok(marks.every((mark) => mark.severity === 4 && mark.tags.includes(1)), JSON.stringify(marks));
  const marked = marks.map((mark) => client.text(name, mark.range));
  assert.ok(marked.some((words) => words.includes('set @rest = true')), JSON.stringify(marked));
  await client.edit(name, '"a") -> out', '"b") -> out');
  await client.diagnostics(name, (diagnostics) => diagnostics.length === 0);
});

offers('workspace', 'folders', async () => {
  assert.equal(client.initialized.capabilities.workspace.workspaceFolders.supported, true);
});

test('a client that asks for diagnostics gets them', async (context) => {
  const other = await Client.start({
    weir: WEIR,
    files: FILES,
    capabilities: { textDocument: { diagnostic: { relatedDocumentSupport: true } } },
  });
  if (!other.initialized.capabilities.diagnosticProvider) {
    context.skip('the server does not offer it');
  }
  await other.open('main.flow');
  await other.edit('main.flow', 'capacity: 1_000', 'capcity: 1_000');
  const report = await other.request('textDocument/diagnostic', { textDocument: other.document('main.flow') });
  assert.deepEqual(report.items.map((one) => one.code), ['E0203']);
  const all = await other.request('workspace/diagnostic', { previousResultIds: [] });
  assert.ok(Array.isArray(all.items));
  await other.stop();
});

test('values of params and environment variables come from the settings', async () => {
  const text = 'param batch: Int in 1..=10\nsource in = generate { batch: batch }\nsink out = stdout {}\nflow main { in -> out }\n';
  const without = await Client.start({ weir: WEIR, files: { 'main.flow': text } });
  await without.open('main.flow');
  assert.equal((await without.diagnostics('main.flow')).length, 1);
  await without.stop();
  const settings = { params: { batch: 5 } };
  const other = await Client.start({ weir: WEIR, files: { 'main.flow': text }, settings });
  await other.open('main.flow');
  assert.deepEqual(await other.diagnostics('main.flow'), []);
  await other.stop();
});

test('every capability of the server has a test', () => {
  tested.add('diagnosticProvider');
  const offered = Object.keys(client.initialized.capabilities);
  assert.deepEqual(offered.filter((capability) => !tested.has(capability)), []);
});

/** A client of `weir lsp` without an editor, on the protocol library that VS Code uses. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const require = createRequire(import.meta.url);
// The library of the extension's client.
const protocol = createRequire(require.resolve('vscode-languageclient/node'))('vscode-languageserver-protocol/node');

export { protocol };

/** What the client says it can do: everything that VS Code can do with what the server may offer. */
const CAPABILITIES = {
  general: { positionEncodings: ['utf-16', 'utf-8'] },
  workspace: {
    applyEdit: true,
    configuration: true,
    workspaceFolders: true,
    workspaceEdit: { documentChanges: true },
    didChangeWatchedFiles: { dynamicRegistration: true },
    textDocumentContent: {},
  },
  window: { workDoneProgress: true },
  textDocument: {
    synchronization: { didSave: true },
    publishDiagnostics: { relatedInformation: true, tagSupport: { valueSet: [1, 2] }, codeDescriptionSupport: true },
    completion: {
      completionItem: { snippetSupport: true, documentationFormat: ['markdown'], resolveSupport: { properties: ['documentation'] } },
    },
    hover: { contentFormat: ['markdown'] },
    signatureHelp: { signatureInformation: { documentationFormat: ['markdown'] } },
    definition: { linkSupport: true },
    typeDefinition: { linkSupport: true },
    documentSymbol: { hierarchicalDocumentSymbolSupport: true },
    codeAction: {
      codeActionLiteralSupport: { codeActionKind: { valueSet: ['quickfix', 'refactor', 'source'] } },
      resolveSupport: { properties: ['edit'] },
      dataSupport: true,
    },
    rename: { prepareSupport: true },
    foldingRange: {},
    selectionRange: {},
    semanticTokens: {
      requests: { full: { delta: true }, range: true },
      tokenTypes: Object.values(protocol.SemanticTokenTypes),
      tokenModifiers: Object.values(protocol.SemanticTokenModifiers),
      formats: ['relative'],
    },
    inlayHint: { resolveSupport: { properties: ['tooltip'] } },
    codeLens: {},
    callHierarchy: {},
    documentLink: { tooltipSupport: true },
  },
};

export class Client {
  /** Starts the server for a new folder with files. */
  static async start({ weir, files, capabilities = {}, settings = {}, environment = {} }) {
    const folder = mkdtempSync(join(tmpdir(), 'weir-lsp-'));
    Object.entries(files).forEach(([name, text]) => writeFileSync(join(folder, name), text));
    const server = spawn(weir, ['lsp'], { cwd: folder, env: { ...process.env, ...environment }, stdio: ['pipe', 'pipe', 'inherit'] });
    const connection = protocol.createProtocolConnection(server.stdout, server.stdin);
    const client = new Client({ folder, server, connection, files, settings });
    client.initialized = await connection.sendRequest(protocol.InitializeRequest.type, {
      processId: process.pid,
      clientInfo: { name: 'test' },
      rootUri: pathToFileURL(folder).href,
      workspaceFolders: [{ uri: pathToFileURL(folder).href, name: 'test' }],
      capabilities: {
        ...CAPABILITIES,
        ...capabilities,
        textDocument: { ...CAPABILITIES.textDocument, ...capabilities.textDocument },
      },
      initializationOptions: settings,
    });
    await connection.sendNotification(protocol.InitializedNotification.type, {});
    return client;
  }

  constructor(parts) {
    Object.assign(this, parts);
    /** The texts of open documents by name. */
    this.texts = {};
    /** The last diagnostics of each document, and those who wait for them. */
    this.published = {};
    this.waiting = [];
    const { connection } = this;
    connection.onNotification(protocol.PublishDiagnosticsNotification.type, ({ uri, version, diagnostics }) => {
      this.published[uri] = { version, diagnostics };
      this.waiting = this.waiting.filter((wait) => !wait());
    });
    connection.onRequest(protocol.ConfigurationRequest.type, ({ items }) => items.map(() => this.settings));
    connection.onRequest(protocol.RegistrationRequest.type, ({ registrations }) => {
      this.registrations = [...(this.registrations ?? []), ...registrations];
    });
    connection.onRequest(protocol.WorkDoneProgressCreateRequest.type, () => undefined);
    connection.onRequest(protocol.ApplyWorkspaceEditRequest.type, ({ edit }) => {
      this.applied = edit;
      return { applied: true };
    });
    for (const refresh of ['semanticTokens', 'inlayHint', 'codeLens', 'diagnostics', 'diagnostic', 'foldingRange']) {
      connection.onRequest(`workspace/${refresh}/refresh`, () => null);
    }
    connection.listen();
  }

  uri(name) {
    return name.includes(':') ? name : pathToFileURL(join(this.folder, name)).href;
  }

  document(name) {
    return { uri: this.uri(name) };
  }

  async open(name, text = this.files[name]) {
    this.texts[name] = { text, version: 1 };
    await this.connection.sendNotification(protocol.DidOpenTextDocumentNotification.type, {
      textDocument: { uri: this.uri(name), languageId: 'weir', version: 1, text },
    });
  }

  /** Replaces a part of a text by another text, as an editor does: one change with its range. */
  async edit(name, before, after) {
    const open = this.texts[name];
    const start = open.text.indexOf(before);
    if (start < 0) {
      throw new Error(`${name} has no ${before}`);
    }
    const range = { start: positionIn(open.text, start), end: positionIn(open.text, start + before.length) };
    open.text = open.text.slice(0, start) + after + open.text.slice(start + before.length);
    open.version += 1;
    await this.connection.sendNotification(protocol.DidChangeTextDocumentNotification.type, {
      textDocument: { uri: this.uri(name), version: open.version },
      contentChanges: [{ range, text: after }],
    });
  }

  /** Returns the position of a text in a document, or some letters after its beginning. */
  position(name, found, after = 0) {
    const { text } = this.texts[name];
    const at = text.indexOf(found);
    if (at < 0) {
      throw new Error(`${name} has no ${found}`);
    }
    return positionIn(text, at + after);
  }

  /** Returns the text of a range of a document. */
  text(name, range) {
    const { text } = this.texts[name] ?? { text: this.files[name] };
    return text.slice(offsetIn(text, range.start), offsetIn(text, range.end));
  }

  request(method, params) {
    return this.connection.sendRequest(method, params);
  }

  /** Sends a request about a position. */
  at(method, name, found, after = 0, more = {}) {
    return this.request(method, { textDocument: this.document(name), position: this.position(name, found, after), ...more });
  }

  /** Waits until the server has published diagnostics of the current text, which fulfil a condition. */
  diagnostics(name, condition = () => true) {
    const uri = this.uri(name);
    const current = () => {
      const published = this.published[uri];
      // Before a document is opened, its diagnostics have no version.
      return published !== undefined && published.version === this.texts[name]?.version ? published.diagnostics : undefined;
    };
    return new Promise((resolve) => {
      const wait = () => {
        const diagnostics = current();
        const isAwaited = diagnostics !== undefined && condition(diagnostics);
        if (isAwaited) {
          resolve(diagnostics);
        }
        return isAwaited;
      };
      if (!wait()) {
        this.waiting.push(wait);
      }
    });
  }

  /** Applies edits to a text. */
  static applied(text, edits) {
    return [...edits]
      .sort((left, right) => offsetIn(text, right.range.start) - offsetIn(text, left.range.start))
      .reduce((changed, edit) => changed.slice(0, offsetIn(text, edit.range.start)) + edit.newText + changed.slice(offsetIn(text, edit.range.end)), text);
  }

  /** Shuts the server down. Returns its exit status. */
  async stop() {
    await this.request('shutdown');
    const exited = once(this.server, 'exit');
    await this.connection.sendNotification(protocol.ExitNotification.type);
    const [status] = await exited;
    this.connection.dispose();
    rmSync(this.folder, { recursive: true });
    return status;
  }
}

function positionIn(text, offset) {
  const before = text.slice(0, offset).split('\n');
  return { line: before.length - 1, character: before.at(-1).length };
}

function offsetIn(text, { line, character }) {
  return text.split('\n').slice(0, line).reduce((sum, one) => sum + one.length + 1, 0) + character;
}

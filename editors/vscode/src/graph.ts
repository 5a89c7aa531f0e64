/** The preview of a program's graph, beside its text: drawn by `weir graph --format json`. */

import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { dirname, resolve } from 'node:path';
import * as vscode from 'vscode';

import { findProgram, paramsAndEnvironment, reportMissingProgram } from './program';

/** A drawing that takes longer than this is given up. */
const SECONDS_MAX = 20;
/** The largest drawing that is read. */
const BYTES_MAX = 16 * 1024 * 1024;
/** Typing pauses this long before the graph is drawn again. */
const PAUSE_MILLISECONDS = 200;
/** The name of a program that is given on standard input. */
const STANDARD_INPUT = '-';

/** A place as weir writes it: lines and columns from 1, columns in characters. */
interface Place {
  file: string;
  line: number;
  column: number;
  end_line: number;
  end_column: number;
}

/** What the page sends. */
type FromPage = { type: 'ready' } | { type: 'reveal'; place: Place };

/** The preview: one page, which shows the program of the active editor. */
export class GraphPreview implements vscode.Disposable {
  private panel: vscode.WebviewPanel | undefined;
  private document: vscode.TextDocument | undefined;
  private timer: NodeJS.Timeout | undefined;
  /** Numbers the drawings, so that a late one does not replace a newer one. */
  private drawings = 0;
  private readonly listeners: vscode.Disposable[];

  constructor(private readonly extension: vscode.Uri) {
    this.listeners = [
      vscode.workspace.onDidChangeTextDocument((change) => {
        // An imported file changes the graph as well.
        if (change.document.languageId === 'weir') {
          this.drawSoon();
        }
      }),
      vscode.window.onDidChangeActiveTextEditor((editor) => {
        if (editor?.document.languageId === 'weir' && editor.document !== this.document) {
          this.follow(editor);
        }
      }),
      vscode.window.onDidChangeTextEditorSelection((change) => {
        if (change.textEditor.document === this.document) {
          this.sendCursor(change.textEditor);
        }
      }),
      vscode.workspace.onDidChangeConfiguration((change) => {
        if (change.affectsConfiguration('weir')) {
          this.drawSoon();
        }
      }),
    ];
  }

  /** Opens the preview beside a program: that of the active editor, or the one with the given URI. */
  async show(uri?: vscode.Uri): Promise<void> {
    const active = vscode.window.activeTextEditor;
    const editor = vscode.window.visibleTextEditors.find((one) => one.document.uri.toString() === uri?.toString()) ?? active;
    if (editor === undefined || editor.document.languageId !== 'weir') {
      void vscode.window.showInformationMessage('Weir: open a .flow file first.');
      return;
    }
    if (findProgram() === undefined) {
      await reportMissingProgram();
      return;
    }
    if (this.panel === undefined) {
      this.panel = this.open();
    } else {
      this.panel.reveal(vscode.ViewColumn.Beside, true);
    }
    this.follow(editor);
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.panel?.dispose();
    this.listeners.forEach((listener) => listener.dispose());
  }

  private open(): vscode.WebviewPanel {
    const media = vscode.Uri.joinPath(this.extension, 'media');
    const panel = vscode.window.createWebviewPanel(
      'weir.graph',
      'Graph',
      { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true },
      { enableScripts: true, localResourceRoots: [media], retainContextWhenHidden: true },
    );
    const at = (name: string) => panel.webview.asWebviewUri(vscode.Uri.joinPath(media, name)).toString();
    panel.webview.html = page(at('graph.js'), at('graph.css'), panel.webview.cspSource);
    panel.webview.onDidReceiveMessage((message: FromPage) => {
      if (message.type === 'ready') {
        this.draw();
      } else {
        void this.reveal(message.place);
      }
    });
    panel.onDidDispose(() => {
      this.panel = undefined;
      this.document = undefined;
    });
    return panel;
  }

  private follow(editor: vscode.TextEditor): void {
    if (this.panel === undefined) {
      return;
    }
    this.document = editor.document;
    this.panel.title = `Graph of ${vscode.workspace.asRelativePath(editor.document.uri).split('/').pop()}`;
    this.draw();
  }

  private drawSoon(): void {
    if (this.panel !== undefined) {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.draw(), PAUSE_MILLISECONDS);
    }
  }

  private draw(): void {
    const document = this.document;
    const program = findProgram();
    if (this.panel === undefined || document === undefined || program === undefined) {
      return;
    }
    this.drawings += 1;
    const drawing = this.drawings;
    const options = {
      cwd: folderOf(document),
      env: { ...process.env, ...paramsAndEnvironment(document.uri) },
      timeout: SECONDS_MAX * 1_000,
      maxBuffer: BYTES_MAX,
    };
    const process_ = execFile(program, ['graph', '--format', 'json', STANDARD_INPUT], options, (error, output, errors) => {
      if (drawing !== this.drawings || this.panel === undefined) {
        return;
      }
      // The graph of a program with errors is drawn too, with an exit status of 1.
      const message = output === '' ? { type: 'failed', text: errors || String(error) } : { type: 'graph', graph: output };
      void this.panel.webview.postMessage(message);
      const editor = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
      if (editor !== undefined) {
        this.sendCursor(editor);
      }
    });
    // A program that ends before it has read its input is reported above.
    process_.stdin?.on('error', () => undefined);
    process_.stdin?.end(document.getText());
  }

  private sendCursor(editor: vscode.TextEditor): void {
    const at = editor.selection.active;
    const line = editor.document.lineAt(at.line).text;
    const column = [...line.slice(0, at.character)].length + 1;
    void this.panel?.webview.postMessage({ type: 'cursor', file: STANDARD_INPUT, line: at.line + 1, column });
  }

  /** Selects a place in the text, in the editor that shows it if there is one. */
  private async reveal(place: Place): Promise<void> {
    const own = this.document;
    if (own === undefined) {
      return;
    }
    const uri = place.file === STANDARD_INPUT ? own.uri : vscode.Uri.file(resolve(folderOf(own), place.file));
    const document = place.file === STANDARD_INPUT ? own : await vscode.workspace.openTextDocument(uri);
    const shown = vscode.window.visibleTextEditors.find((editor) => editor.document === document);
    const selection = new vscode.Range(
      positionOf(document, place.line, place.column),
      positionOf(document, place.end_line, place.end_column),
    );
    await vscode.window.showTextDocument(document, {
      viewColumn: shown?.viewColumn ?? vscode.ViewColumn.One,
      selection,
    });
  }
}

/** Returns the folder that a program's imports are relative to. */
function folderOf(document: vscode.TextDocument): string {
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath;
  return document.uri.scheme === 'file' ? dirname(document.uri.fsPath) : (folder ?? process.cwd());
}

/** Returns the position in VS Code, which counts UTF-16 units from 0. */
function positionOf(document: vscode.TextDocument, line: number, column: number): vscode.Position {
  const index = Math.min(line, document.lineCount) - 1;
  const before = [...document.lineAt(index).text].slice(0, column - 1).join('');
  return new vscode.Position(index, before.length);
}

function page(script: string, style: string, source: string): string {
  const nonce = randomBytes(16).toString('hex');
  return `<!DOCTYPE html>
<html lang="en">
<head>
  <meta charset="UTF-8">
  <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src ${source}; script-src 'nonce-${nonce}'">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <link rel="stylesheet" href="${style}">
  <title>Graph</title>
</head>
<body>
  <p id="notice" role="status"></p>
  <div id="graph"></div>
  <script nonce="${nonce}" src="${script}"></script>
</body>
</html>`;
}

/** The language server: starting, stopping, and starting again with other settings. */

import * as vscode from 'vscode';
import {
  DidChangeConfigurationNotification,
  type ExecuteCommandSignature,
  LanguageClient,
  type LanguageClientOptions,
  type ServerOptions,
} from 'vscode-languageclient/node';

import type { GraphPreview } from './graph';
import { findProgram, reportMissingProgram } from './program';

/** The scheme of the library's documents, which only the server has. */
const LIBRARY_SCHEME = 'weir-library';

/** The commands of the server's lenses. Their argument is the URI of the program. */
const SHOW_GRAPH = 'weir.showGraph';
const SHOW_PLAN = 'weir.showPlan';
const RUN_TEST = 'weir.runTest';
const RUN_TESTS = 'weir.runTests';

/** Starts the server, and starts it again when the settings of its process change. */
export class Server implements vscode.Disposable {
  private readonly output = vscode.window.createOutputChannel('Weir', { log: true });
  private client: LanguageClient | undefined;
  /** Starts and stops follow one another. */
  private queue: Promise<void> = Promise.resolve();

  constructor(private readonly preview: GraphPreview) {}

  start(): Promise<void> {
    return this.enqueue(async () => {
      const program = findProgram();
      if (program === undefined) {
        void reportMissingProgram();
        return;
      }
      const options: ServerOptions = {
        command: program,
        args: ['lsp'],
        options: { env: process.env },
      };
      const clientOptions: LanguageClientOptions = {
        documentSelector: [
          { scheme: 'file', language: 'weir' },
          { scheme: 'untitled', language: 'weir' },
          { scheme: LIBRARY_SCHEME, language: 'weir' },
        ],
        outputChannel: this.output,
        initializationOptions: vscode.workspace.getConfiguration('weir'),
        diagnosticPullOptions: { onChange: true, onSave: true },
        middleware: { executeCommand: (command, given, next) => this.execute(command, given, next) },
      };
      const client = new LanguageClient('weir', 'Weir', options, clientOptions);
      this.client = client;
      try {
        await client.start();
      } catch (error) {
        this.output.error(String(error));
        void vscode.window.showErrorMessage(`Weir: ${program} lsp did not start. The output "Weir" says why.`);
      }
    });
  }

  restart(): Promise<void> {
    void this.stop();
    return this.start();
  }

  stop(): Promise<void> {
    return this.enqueue(async () => {
      const client = this.client;
      this.client = undefined;
      // A server that did not start can't be stopped.
      await client?.dispose().catch(() => undefined);
    });
  }

  /** Tells the server that its settings have changed. */
  async sendSettings(): Promise<void> {
    if (this.client?.isRunning()) {
      const settings = { weir: vscode.workspace.getConfiguration('weir') };
      await this.client.sendNotification(DidChangeConfigurationNotification.type, { settings });
    }
  }

  showOutput(): void {
    this.output.show();
  }

  dispose(): void {
    void this.stop();
    this.output.dispose();
  }

  /** Carries out a command of the server: shows what it returns. */
  private async execute(command: string, given: unknown[], next: ExecuteCommandSignature): Promise<unknown> {
    if (command === SHOW_GRAPH) {
      const [uri] = given;
      return this.preview.show(typeof uri === 'string' ? vscode.Uri.parse(uri) : undefined);
    }
    const result: unknown = await next(command, given);
    if ([SHOW_PLAN, RUN_TEST, RUN_TESTS].includes(command)) {
      const content = (result as { text?: string } | null)?.text ?? '';
      const document = await vscode.workspace.openTextDocument({ content });
      await vscode.window.showTextDocument(document, { viewColumn: vscode.ViewColumn.Beside, preserveFocus: true });
    }
    return result;
  }

  private enqueue(work: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(work, work);
    return this.queue;
  }
}

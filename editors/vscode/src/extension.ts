/** The extension for Weir: the language server, tasks, and the preview of graphs. */

import * as vscode from 'vscode';

import { GraphPreview } from './graph';
import { Server } from './server';
import { registerTasks, runOnActiveProgram } from './tasks';

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const preview = new GraphPreview(context.extensionUri);
  const server = new Server(preview);
  const command = (name: string, run: () => unknown) => vscode.commands.registerCommand(`weir.${name}`, run);
  context.subscriptions.push(
    server,
    preview,
    registerTasks(),
    command('check', () => runOnActiveProgram('check')),
    command('plan', () => runOnActiveProgram('plan')),
    command('run', () => runOnActiveProgram('run')),
    command('openGraph', () => preview.show()),
    command('restartServer', () => server.restart()),
    command('showOutput', () => server.showOutput()),
    vscode.workspace.onDidChangeConfiguration((change) => {
      if (change.affectsConfiguration('weir.path')) {
        void server.restart();
      } else if (change.affectsConfiguration('weir')) {
        void server.sendSettings();
      }
    }),
  );
  await server.start();
}

export function deactivate(): void {
  // Subscriptions are disposed of by VS Code.
}

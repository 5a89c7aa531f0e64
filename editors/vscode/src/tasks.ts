/** Tasks that run `weir check`, `weir plan`, `weir fmt` and `weir run` in the terminal. */

import { dirname } from 'node:path';
import * as vscode from 'vscode';

import { configuredPath, findProgram, paramsAndEnvironment, reportMissingProgram } from './program';

const TYPE = 'weir';
const COMMANDS = ['check', 'plan', 'run', 'fmt'] as const;

export type Command = (typeof COMMANDS)[number];

interface Definition extends vscode.TaskDefinition {
  command: Command;
  file?: string;
  arguments?: string[];
}

/** Returns the task that runs a command on a program or a folder. */
function task(definition: Definition, scope: vscode.WorkspaceFolder | vscode.TaskScope): vscode.Task {
  const isFolder = typeof scope === 'object';
  const file = definition.file ?? (isFolder ? scope.uri.fsPath : '.');
  // Only this format has one line for each diagnostic, which the problem matcher reads.
  const format = definition.command === 'check' ? ['--format', 'short'] : [];
  const settingsOf = isFolder ? scope.uri : vscode.Uri.file(file);
  const execution = new vscode.ProcessExecution(
    findProgram() ?? configuredPath(),
    [definition.command, ...format, ...(definition.arguments ?? []), file],
    {
      env: paramsAndEnvironment(settingsOf),
      cwd: isFolder ? scope.uri.fsPath : dirname(file),
    },
  );
  const name = definition.file === undefined ? definition.command : `${definition.command} ${vscode.workspace.asRelativePath(file)}`;
  const made = new vscode.Task(definition, scope, name, TYPE, execution, definition.command === 'plan' ? [] : ['$weir']);
  if (definition.command === 'check') {
    made.group = vscode.TaskGroup.Build;
  }
  made.presentationOptions = { clear: true, showReuseMessage: false };
  return made;
}

class Provider implements vscode.TaskProvider {
  provideTasks(): vscode.Task[] {
    const folders = vscode.workspace.workspaceFolders ?? [];
    return folders.flatMap((folder) => [
      task({ type: TYPE, command: 'check' }, folder),
      task({ type: TYPE, command: 'fmt' }, folder),
    ]);
  }

  resolveTask(given: vscode.Task): vscode.Task | undefined {
    const definition = given.definition as Definition;
    if (!COMMANDS.includes(definition.command)) {
      return undefined;
    }
    const scope = typeof given.scope === 'object' ? given.scope : vscode.workspace.workspaceFolders?.[0];
    return task(definition, scope ?? vscode.TaskScope.Workspace);
  }
}

export function registerTasks(): vscode.Disposable {
  return vscode.tasks.registerTaskProvider(TYPE, new Provider());
}

/** Saves the program in the active editor, and runs a command on it in the terminal. */
export async function runOnActiveProgram(command: Command): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (document === undefined || document.languageId !== 'weir') {
    void vscode.window.showInformationMessage('Weir: open a .flow file first.');
    return;
  }
  if (findProgram() === undefined) {
    await reportMissingProgram();
    return;
  }
  // The command reads the file. An untitled program has none until it is saved.
  if ((document.isDirty || document.isUntitled) && !(await document.save())) {
    return;
  }
  if (document.uri.scheme !== 'file') {
    void vscode.window.showInformationMessage('Weir: the program has no file that weir could read.');
    return;
  }
  const scope = vscode.workspace.getWorkspaceFolder(document.uri) ?? vscode.TaskScope.Workspace;
  await vscode.tasks.executeTask(task({ type: TYPE, command, file: document.uri.fsPath }, scope));
}

/** The program `weir`: where it is, and what the settings tell it. */

import { accessSync, constants, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, isAbsolute, join } from 'node:path';
import * as vscode from 'vscode';

const SECTION = 'weir';

/** Returns the settings that apply to a file, or to the window. */
export function settings(file?: vscode.Uri): vscode.WorkspaceConfiguration {
  return vscode.workspace.getConfiguration(SECTION, file);
}

/** Returns the path of `weir` as the user has set it, with `~` and `${workspaceFolder}` filled in. */
export function configuredPath(): string {
  const path = settings().get<string>('path', 'weir').trim() || 'weir';
  const folder = vscode.workspace.workspaceFolders?.[0]?.uri.fsPath ?? '';
  return path.replace(/^~(?=\/|\\|$)/, homedir()).replaceAll('${workspaceFolder}', folder);
}

/** Returns the file of the program; `undefined` if there is none that can be executed. */
export function findProgram(): string | undefined {
  const path = configuredPath();
  if (isAbsolute(path) || path.includes('/') || path.includes('\\')) {
    return isExecutable(path) ? path : undefined;
  }
  const endings = process.platform === 'win32' ? ['.exe', ''] : [''];
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  const candidates = folders.flatMap((folder) => endings.map((ending) => join(folder, path + ending)));
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Returns the environment variables that the settings add. */
function environment(file?: vscode.Uri): Record<string, string> {
  return Object.fromEntries(
    Object.entries(settings(file).get<Record<string, unknown>>('environment', {})).map(([name, value]) => [name, String(value)]),
  );
}

/**
 * Returns the environment variables with the values of params. A param is a variable instead of `--set`, since a program
 * without such a param then ignores the value.
 */
export function paramsAndEnvironment(file?: vscode.Uri): Record<string, string> {
  const params = Object.entries(settings(file).get<Record<string, unknown>>('params', {})).map(([name, value]) => [
    `WEIR_${name.toUpperCase()}`,
    Array.isArray(value) ? value.join(',') : String(value),
  ]);
  return { ...environment(file), ...Object.fromEntries(params) };
}

/** Tells the user that there is no `weir`, and opens the setting if wanted. */
export async function reportMissingProgram(): Promise<void> {
  const open = 'Open the Setting';
  const message = `Weir: there is no program ${configuredPath()}. Set weir.path, or put weir on the PATH.`;
  if ((await vscode.window.showErrorMessage(message, open)) === open) {
    await vscode.commands.executeCommand('workbench.action.openSettings', 'weir.path');
  }
}

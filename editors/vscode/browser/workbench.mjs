/** A VS Code with the packaged extension: code-server, and a page of headless Chromium that shows it. */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { chromium } from 'playwright-core';

const SIZE = { width: 1280, height: 760 };
/** How long an event may take on a slow machine. */
const PATIENCE_MILLISECONDS = 90_000;

const SETTINGS = {
  'security.workspace.trust.enabled': false,
  'telemetry.telemetryLevel': 'off',
  'workbench.startupEditor': 'none',
  'workbench.colorTheme': 'Default Light Modern',
  'workbench.tips.enabled': false,
  'window.menuBarVisibility': 'hidden',
  'window.commandCenter': false,
  'workbench.layoutControl.enabled': false,
  'editor.minimap.enabled': false,
  'editor.fontSize': 13,
  'extensions.ignoreRecommendations': true,
  'git.enabled': false,
  'chat.commandCenter.enabled': false,
  // A terminal whose text is in the page, and not only drawn.
  'terminal.integrated.gpuAcceleration': 'off',
};

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Writes files with their names into a folder. */
export async function writeFiles(folder, files) {
  await mkdir(folder, { recursive: true });
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(folder, name), text)));
}

/** One VS Code, which shows one folder. */
export class Workbench {
  /** Starts VS Code with an extension. `files` are the files of the folder. */
  static async open({ codeServer, extension, weir, files, settings = {} }) {
    const folder = await mkdtemp(join(tmpdir(), 'weir-vscode-'));
    const project = join(folder, 'pipelines');
    await writeFiles(project, files);
    await writeFiles(join(folder, 'data/User'), { 'settings.json': JSON.stringify({ ...SETTINGS, ...settings }) });
    // A path belongs to the machine that the extension runs on.
    await writeFiles(join(folder, 'data/Machine'), { 'settings.json': JSON.stringify({ 'weir.path': weir }) });
    const entry = join(codeServer, 'out/node/entry.js');
    const folders = ['--user-data-dir', join(folder, 'data'), '--extensions-dir', join(folder, 'extensions')];
    // Without a gallery, the server asks no other machine for extensions.
    const gallery = JSON.stringify({ serviceUrl: '', itemUrl: '', resourceUrlTemplate: '' });
    const environment = { ...process.env, XDG_CONFIG_HOME: folder, XDG_DATA_HOME: folder, EXTENSIONS_GALLERY: gallery };
    await promisify(execFile)(process.execPath, [entry, ...folders, '--install-extension', extension], { env: environment });

    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const options = ['--auth', 'none', '--bind-addr', address, '--disable-telemetry', '--disable-update-check'];
    const server = spawn(process.execPath, [entry, ...folders, ...options, project], {
      env: environment,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await Workbench.ready(server);
    const browser = await chromium.launch({ executablePath: '/usr/bin/chromium', args: ['--no-sandbox'] });
    const context = await browser.newContext({ viewport: SIZE });
    await context.grantPermissions(['clipboard-read', 'clipboard-write']);
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MILLISECONDS);
    await page.goto(`http://${address}/?folder=${encodeURIComponent(project)}`);
    await page.locator('.monaco-workbench .explorer-folders-view').waitFor();
    return new Workbench({ folder, project, server, browser, page });
  }

  /** Waits until the server listens. */
  static async ready(server) {
    for await (const line of createInterface({ input: server.stdout })) {
      if (line.includes('HTTP server listening')) {
        // The pipe must stay empty, or the server stops.
        server.stdout.resume();
        return;
      }
    }
    throw new Error('code-server ended before it listened');
  }

  constructor(parts) {
    Object.assign(this, parts);
  }

  async close() {
    await this.browser.close();
    const ended = once(this.server, 'exit');
    this.server.kill();
    await ended;
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Opens a file of the folder, and waits until its text is shown. */
  async openFile(name) {
    await this.page.locator('.explorer-folders-view').getByText(name, { exact: true }).dblclick();
    await this.editor(name).locator('.view-line').first().waitFor();
  }

  /** Returns the editor of a file. */
  editor(name) {
    return this.page.locator(`.editor-instance[aria-label*="${name}"] .monaco-editor, .monaco-editor[data-uri$="${name}"]`).first();
  }

  /** Runs a command of the command palette. */
  async command(title) {
    await this.page.keyboard.press('F1');
    const input = this.page.locator('.quick-input-widget input');
    await input.waitFor();
    await input.fill(`>${title}`);
    await this.page.locator('.quick-input-list .monaco-list-row', { hasText: title }).first().waitFor();
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** Puts the cursor at a line and a column, from 1. */
  async goTo(line, column) {
    await this.page.keyboard.press('Control+g');
    const input = this.page.locator('.quick-input-widget input');
    await input.waitFor();
    await input.fill(`:${line}:${column}`);
    await this.page.keyboard.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }
}

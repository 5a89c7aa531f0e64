/**
 * Uses the packaged extension as a person would: types a mistake, reads the message, takes the fix, completes, and follows
 * the graph. `test-in-browser` installs what it needs. With `--picture` it also writes the picture of the README.
 */

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { Workbench } from './workbench.mjs';

const { CODE_SERVER, WEIR_BIN, SCREENSHOTS } = process.env;
const EXTENSION = fileURLToPath(new URL('../weir.vsix', import.meta.url));
const PICTURE = fileURLToPath(new URL('../../../docs/images/editor.png', import.meta.url));

const PROGRAM = `//! Orders of a shop, large ones apart from the others.

schema Order {
  customer: Text
  amount:   Int
}

source orders = files { paths: ["orders/*.json"] }
channel buffer = memory { capacity: 1_000 }
sink large = files { path: "large", format: json }
sink rest = files { path: "rest/{customer}", format: json }

flow main delivers at_least_once {
  orders
    -> parse json as Order else drop
    -> set customer = lower(customer)
    -> buffer
    -> match {
      amount > 100 -> large
      _ -> rest
    }
}
`;

/** The part of the page that the picture of the README shows: the editor. */
const PICTURE_CLIP = { x: 348, y: 0, width: 918, height: 470 };

const LINE = { buffer: 9, large: 10, lower: 16 };

const workbench = await Workbench.open({
  codeServer: CODE_SERVER,
  extension: EXTENSION,
  weir: WEIR_BIN,
  files: { 'orders.flow': PROGRAM },
});
const { page } = workbench;
const { keyboard } = page;
let passed = 0;

/** Waits until the lines fulfil a condition. */
async function linesWhere(condition) {
  await page.waitForFunction(
    ([source]) => {
      const lines = [...document.querySelectorAll('.editor-instance .view-line')].map((line) => line.textContent.replaceAll('\u00a0', ' '));
      return new Function('lines', `return (${source})(lines)`)(lines);
    },
    [condition.toString()],
  );
}

async function step(name, run) {
  await run();
  await page.screenshot({ path: join(SCREENSHOTS, `${String(passed + 1).padStart(2, '0')}-${name.replaceAll(/\W+/g, '-')}.png`) });
  passed += 1;
  console.log(`ok ${passed} - ${name}`);
}

/** Returns the word of the editor with this text. */
function word(text) {
  return page.locator('.editor-instance .view-line span:not(:has(span))', { hasText: text }).first();
}

/** Moves the mouse over a word until the hover with a text is there: an edit or a late answer may close it, as for a person. */
async function hoverOver(text, shown) {
  const hover = page.locator('.monaco-hover:not(.hidden)', { hasText: shown });
  for (let tries = 10; ; tries -= 1) {
    await page.mouse.move(0, 0);
    await word(text).hover();
    try {
      await hover.waitFor({ timeout: 9_000 });
      return hover;
    } catch (error) {
      if (tries === 1) {
        throw error;
      }
    }
  }
}

async function problems(count) {
  await page.locator('#status\\.problems', { hasText: new RegExp(`^\\s*${count}\\b`) }).waitFor();
}

async function breakBuffer() {
  const column = PROGRAM.split('\n')[LINE.buffer - 1].indexOf('capacity') + 1;
  await workbench.goTo(LINE.buffer, column);
  await keyboard.press('Control+Delete');
  await keyboard.type('capcity');
  await keyboard.press('Escape');
}

try {
  await workbench.openFile('orders.flow');

  await step('a correct program has no problems', async () => {
    // Colours of the grammar: not every word has the colour of plain text.
    await page.waitForFunction(() => {
      const words = [...document.querySelectorAll('.editor-instance .view-line span[class^=mtk]')];
      return new Set(words.map((word) => word.className)).size >= 4;
    });
    await problems(0);
  });

  await step('a typed mistake is underlined', async () => {
    await breakBuffer();
    await page.locator('.squiggly-error').waitFor();
    await problems(1);
  });

  await step('hover shows the message', async () => {
    const hover = await hoverOver('capcity', 'E0203');
    assert.match(await hover.innerText(), /capacity/);
  });
  if (process.argv.includes('--picture')) {
    await page.screenshot({ path: PICTURE, clip: PICTURE_CLIP });
  }

  await step('a quick fix corrects the mistake', async () => {
    await keyboard.press('Escape');
    await workbench.goTo(LINE.buffer, PROGRAM.split('\n')[LINE.buffer - 1].indexOf('capacity') + 2);
    await keyboard.press('Control+.');
    await page.locator('.action-widget .monaco-list-row.action.focused', { hasText: 'capacity' }).waitFor();
    await page.screenshot({ path: join(SCREENSHOTS, '04-the-list-of-fixes.png') });
    await keyboard.press('Enter');
    await linesWhere((lines) => lines.some((line) => line.includes(' capacity: 1_000 }')));
    await page.locator('.squiggly-error').waitFor({ state: 'detached' });
    await problems(0);
  });

  await step('hover shows a declaration', async () => {
    await hoverOver('lower', 'fn lower');
  });

  await step('completion offers settings', async () => {
    await keyboard.press('Escape');
    await workbench.goTo(LINE.buffer, PROGRAM.split('\n')[LINE.buffer - 1].indexOf('capacity') + 1);
    await keyboard.type('byt');
    await keyboard.press('Control+Space');
    await page.locator('.suggest-widget.visible .monaco-list-row', { hasText: 'byte_capacity' }).first().waitFor();
  });

  await step('the program is correct again', async () => {
    await keyboard.press('Escape');
    for (let letters = 'byt'.length; letters > 0; letters -= 1) {
      await keyboard.press('Backspace');
    }
    await linesWhere((lines) => lines.some((line) => line.includes(' capacity: 1_000 }')));
    await problems(0);
  });

  await step('inlay hints show the events behind a step', async () => {
    await linesWhere((lines) => lines.some((line) => /else drop\s*\{ amount: Int, customer: Text \}/.test(line)));
  });

  const graph = page.frameLocator('iframe.webview.ready').frameLocator('iframe#active-frame');

  await step('the graph is drawn beside the text', async () => {
    await page.locator('.codelens-decoration a', { hasText: 'show graph' }).click();
    for (const name of ['orders', 'buffer', 'large', 'rest', 'match', 'steps']) {
      await graph.locator(`.node[data-name="${name}"]`).waitFor();
    }
    assert.equal(await graph.locator('.line').count(), 5);
  });

  await step('the graph follows the cursor', async () => {
    await workbench.goTo(LINE.large, 8);
    await graph.locator('.node.current[data-name="large"]').waitFor();
    await workbench.goTo(LINE.lower, 10);
    await graph.locator('.step.current', { hasText: 'lower(customer)' }).waitFor();
  });

  await step('a click on a node selects its text', async () => {
    await graph.locator('.node[data-name="rest"] .name').click();
    await page.locator('#status\\.editor\\.selection', { hasText: `Ln ${LINE.large + 1}` }).waitFor();
  });

  await step('the graph changes while somebody types', async () => {
    await workbench.goTo(LINE.large, 6);
    await keyboard.type('very_');
    await keyboard.press('Escape');
    await graph.locator('.node.sink[data-name="very_large"]').waitFor();
    await graph.locator('.node.unknown[data-name="large"]').waitFor();
    for (let letters = 'very_'.length; letters > 0; letters -= 1) {
      await keyboard.press('Backspace');
    }
    await graph.locator('.node.sink[data-name="large"]').waitFor();
  });

  await step('the command check runs in the terminal', async () => {
    await breakBuffer();
    await workbench.command('Weir: Check This Program');
    await page.locator('.xterm-rows', { hasText: 'error[E0203]' }).waitFor();
    // The problem matcher adds nothing to what the language server shows for an open file.
    await problems(1);
    assert.equal(await page.locator('.notification-toast').count(), 0);
  });

  console.log(`${passed} passed, 0 failed`);
} catch (error) {
  await page.screenshot({ path: join(SCREENSHOTS, 'failed.png') });
  console.error(`not ok ${passed + 1}: see ${join(SCREENSHOTS, 'failed.png')}`);
  throw error;
} finally {
  await workbench.close();
}

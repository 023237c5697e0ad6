import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import type { AxeResults } from 'axe-core';
import type { Browser, BrowserContextOptions } from 'playwright-core';
import { until } from '../kit/index.js';
import { ChatPage, openBrowser } from './chat-page.js';
import { Demo } from './demo.js';

jest.setTimeout(120_000);

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
/** A folder into which the pages that are looked at are to be painted. */
const screenshots = process.env['SCREENSHOTS'];

let demo: Demo;
let browser: Browser;
let pages: ChatPage[] = [];

beforeAll(async () => {
  [demo, browser] = await Promise.all([Demo.start(), openBrowser()]);
});

afterEach(() => {
  const errors = pages.flatMap((page) => page.errors);
  pages = [];
  expect(errors).toEqual([]);
});

async function open(name: string, node: number, options: BrowserContextOptions = {}): Promise<ChatPage> {
  const page = await ChatPage.open(browser, demo.address, { name, node, ...options });
  pages.push(page);
  return page;
}

/** What axe finds wrong with the page as it is now: rule and element. */
async function violations({ page }: ChatPage): Promise<string[]> {
  await page.evaluate(axe);
  const results = await page.evaluate<AxeResults>("axe.run({ resultTypes: ['violations'] })");
  return results.violations.flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html}`));
}

async function paint({ page }: ChatPage, name: string): Promise<void> {
  if (screenshots) await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

/** The last message and the box that it is in, in pixels from the top of the window. */
const lastMessage = (chat: ChatPage): Promise<{ top: number; bottom: number; boxTop: number; boxBottom: number }> =>
  chat.page
    .locator('.message')
    .last()
    .evaluate((item: any) => {
      const [message, box] = [item, item.closest('[role=log]')].map((one) => one.getBoundingClientRect());
      return { top: message.top, bottom: message.bottom, boxTop: box.top, boxBottom: box.bottom };
    });

const sizes = {
  phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true },
  desktop: { viewport: { width: 1440, height: 900 } },
};
const rows = (['phone', 'desktop'] as const).flatMap((size) =>
  (['light', 'dark'] as const).map((colorScheme) => ({ size, colorScheme })),
);

test('axe finds nothing on phones and desktops, light and dark: at work, cut off, with a node down', async () => {
  const looks = await Promise.all(
    rows.map(async ({ size, colorScheme }) => {
      const name = `${size}-${colorScheme}`;
      return { name, chat: await open(name, 1, { ...sizes[size], colorScheme }) };
    }),
  );
  const ada = looks[0]!.chat;
  await ada.button('Let a guest talk').click();
  await ada.send('Good morning');
  for (const { name, chat } of looks) {
    await chat.texts(3);
    await isFaultless(chat, `${name}-at-work`);
  }
  await ada.button('Kill node 3').click();
  for (const { name, chat } of looks) {
    await chat.nodeIs(3, 'down');
    await chat.button('Cut the connection').click();
    await chat.says('This page is cut off');
    await isFaultless(chat, `${name}-cut-off`);
    await chat.button(/^Reconnect now/).click();
    await chat.says(/This page is on node/);
  }
  await ada.button('Start node 3').click();
  for (const { name, chat } of looks) {
    await chat.nodeIs(3, 'up');
    await chat.says('3 of 3 up');
    await paint(chat, `${name}-back`);
  }
});

/** Axe finds nothing wrong with the page as it is now. */
async function isFaultless(chat: ChatPage, state: string): Promise<void> {
  await paint(chat, state);
  expect({ state, violations: await violations(chat) }).toEqual({ state, violations: [] });
}

test('everything can be done by keyboard, and the focus is seen', async () => {
  const ada = await open('Ada', 1);
  const { keyboard } = ada.page;
  const reached = new Set<string>();
  for (let i = 0; i < 40; i++) {
    await keyboard.press('Tab');
    reached.add(
      await ada.page.evaluate(`(() => {
        const one = document.activeElement;
        const seen = one.matches('[name=room]') ? one.nextElementSibling : one;
        const name = one.ariaLabel ?? one.id ?? one.textContent;
        return (one.id || name || one.textContent) + ': ' + (getComputedStyle(seen).outlineStyle !== 'none');
      })()`),
    );
  }
  const expected = ['name', 'Messages', 'text', 'Send', 'cut', 'guest', 'Kill node 1', 'Move to node 2', 'Kill node 3'];
  expect([...reached]).toEqual(expect.arrayContaining(expected.map((what) => `${what}: true`)));

  await ada.page.getByLabel('Lobby').focus();
  await keyboard.press('ArrowRight');
  await until(() => ada.page.getByLabel('Garden').isChecked(), { what: 'the garden to be chosen' });
  await ada.button('Move to node 2').focus();
  await keyboard.press('Enter');
  await ada.isOn(2);
});

test('the newest message stays in view when the banner of a cut appears', async () => {
  const ada = await open('Ada', 1, { viewport: { width: 900, height: 640 } });
  await ada.send(...Array.from({ length: 12 }, (_, i) => `message ${i + 1}`));
  await ada.texts(12);
  await ada.button('Cut the connection').click();
  await ada.says('This page is cut off');
  await until(
    async () => {
      const { top, bottom, boxTop, boxBottom } = await lastMessage(ada);
      return top >= boxTop && bottom <= boxBottom;
    },
    { what: 'the last message to be in view' },
  );
});

test('lag and throughput are plotted, and the states of each node, as pictures and as texts', async () => {
  const ada = await open('Ada', 1);
  await ada.button('Let a guest talk').click();
  const rate = ada.page.locator('#rate-plot');
  await until(async () => Number(/([\d.]+)\/s/.exec(await rate.innerText())?.[1]) > 0, {
    what: 'entries to be read',
  });
  expect(await ada.page.locator('#lag-plot').innerText()).toMatch(/Lag\s+\d/);
  for (const plot of ['#lag-plot', '#rate-plot']) {
    await until(async () => ((await ada.page.locator(`${plot} .line`).getAttribute('d')) ?? '').includes('L'), {
      what: `the line of ${plot}`,
    });
  }

  await ada.button('Kill node 3').click();
  await ada.nodeIs(3, 'down');
  const row = ada.page.getByRole('list', { name: 'Nodes over time' }).getByRole('listitem').nth(2);
  await until(async () => ((await row.textContent()) ?? '').includes('down for less than a minute'), {
    what: 'the row of node 3 to say that it is down',
  });
  const states = await row.locator('rect').evaluateAll((bars) => bars.map((bar: any) => bar.dataset.state as string));
  expect(states).toContain('up');
  expect(states.at(-1)).toBe('down');
  await ada.button('Start node 3').click();
  await ada.nodeIs(3, 'up');
});

test('a process that has ended is not counted as up, though its heartbeat is not overdue yet', async () => {
  const ada = await open('Ada', 1);
  await ada.says('3 of 3 up');
  await ada.page.evaluate(`(() => {
    window.contradictions = [];
    const look = () => {
      const ended = [...document.querySelectorAll('.card')].some((card) => card.innerText.includes('ended'));
      const up = document.querySelector('#summary').textContent;
      if (ended && up === '3 of 3 up') window.contradictions.push(up);
    };
    new MutationObserver(look).observe(document.querySelector('.cluster'), { subtree: true, childList: true, characterData: true });
  })()`);
  await ada.button('Kill node 2').click();
  await ada.nodeIs(2, 'ended');
  await ada.nodeIs(2, 'down');
  expect(await ada.page.evaluate('window.contradictions')).toEqual([]);
  await ada.button('Start node 2').click();
  await ada.says('3 of 3 up');
});

test('events name a node by its number, also one that was started just now', async () => {
  const ada = await open('Ada', 1);
  await ada.button('Kill node 2').click();
  await ada.nodeIs(2, 'down');
  await ada.button('Start node 2').click();
  await ada.says('node 2 joined');
  const events = await ada.page.getByRole('log', { name: 'What happened' }).innerText();
  expect(events).not.toMatch(/:\d+ (joined|is down)/);
});

test('a page that is disconnected shows no node of its own, and no status of nodes that is out of date', async () => {
  const ada = await open('Ada', 2);
  await ada.says('Seen by node 2');
  await ada.button('Cut the connection').click();
  await ada.says('This page is cut off');
  expect(await ada.page.getByText('you are here').filter({ visible: true }).count()).toBe(0);
  await ada.button(/^Reconnect now/).click();
  await ada.says(/This page is on node/);

  for (const number of [1, 2, 3]) await ada.button(`Kill node ${number}`).click();
  await ada.says('no node answers');
  await ada.says('Seen by no node');
  for (const fact of ['position', 'outbox', 'replay', 'recoveries']) {
    expect(await ada.page.locator(`#${fact}`).innerText()).toBe('–');
  }
  await until(async () => (await ada.page.locator('#lag-plot b').innerText()) === '–', {
    what: 'the lag to be unknown',
  });
  for (const number of [1, 2, 3]) {
    expect(
      await ada.page
        .locator('.card')
        .nth(number - 1)
        .innerText(),
    ).toContain('ended');
    await ada.button(`Start node ${number}`).click();
  }
  await ada.says('3 of 3 up');
});

import { afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import type { Browser } from 'playwright-core';
import { until } from '../kit/index.js';
import { ChatPage, openBrowser } from './chat-page.js';
import { Demo } from './demo.js';

jest.setTimeout(90_000);

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

async function open(name: string, node: number): Promise<ChatPage> {
  const page = await ChatPage.open(browser, demo.address, { name, node });
  pages.push(page);
  return page;
}

const numbered = (what: string, count: number): string[] => Array.from({ length: count }, (_, i) => `${what} ${i + 1}`);

test('pages on different nodes chat, in one order', async () => {
  const [ada, grace] = await Promise.all([open('Ada', 1), open('Grace', 2)]);
  await ada.send('Good morning');
  await grace.texts(1);
  await grace.send('Good morning to you');
  await ada.texts(2);
  const expected = [
    { name: 'Ada', text: 'Good morning', node: 'node 1', recovered: false },
    { name: 'Grace', text: 'Good morning to you', node: 'node 2', recovered: false },
  ];
  expect(await ada.lines()).toEqual(expected);
  expect(await grace.lines()).toEqual(expected);
});

test('a message stays in its room', async () => {
  const [ada, grace] = await Promise.all([open('Ada', 1), open('Grace', 3)]);
  await ada.page.getByText('Garden').click();
  await until(async () => (await ada.people()).join() === 'Ada', { what: 'Ada to be alone in the garden' });
  await until(async () => (await grace.people()).join() === 'Grace', { what: 'Grace to be alone in the lobby' });
  await ada.send('Is anybody in the garden?');
  await grace.send('Is anybody in the lobby?');
  expect(await ada.texts(1)).toEqual(['Is anybody in the garden?']);
  expect(await grace.texts(1)).toEqual(['Is anybody in the lobby?']);

  await grace.page.getByText('Garden').click();
  await until(async () => (await ada.people()).join() === 'Ada,Grace', { what: 'Grace to be in the garden' });
  await ada.send('Welcome');
  expect(await grace.texts(1)).toEqual(['Welcome']);
});

test('the page shows the nodes, all up, and on which one it is', async () => {
  const ada = await open('Ada', 2);
  await ada.says('3 of 3 up');
  for (const number of [1, 2, 3]) await ada.nodeIs(number, 'up');
  await until(async () => (await ada.node(2).innerText()).includes('you are here'), { what: 'the page on node 2' });
  for (const number of [1, 3]) expect(await ada.node(number).innerText()).not.toContain('you are here');
  expect(await ada.page.locator('#position').innerText()).toMatch(/^\d+-\d+$/);
});

test('a page whose connection is cut gets what it missed once, in order and marked', async () => {
  const [ada, grace] = await Promise.all([open('Ada', 1), open('Grace', 2)]);
  await ada.send('before');
  await grace.texts(1);

  await grace.button('Cut the connection').click();
  await grace.says('The connection is cut');
  const missed = numbered('missed', 20);
  await ada.send(...missed);
  await ada.texts(21);
  await grace.button(/^Reconnect now/).click();

  expect(await grace.texts(21)).toEqual(['before', ...missed]);
  await grace.says(/Recovered on node \d: 20 missed messages/);
  expect((await grace.lines()).map(({ recovered }) => recovered)).toEqual([false, ...missed.map(() => true)]);

  await ada.send('after');
  await grace.texts(22);
  expect((await grace.lines()).at(-1)).toMatchObject({ text: 'after', recovered: false });
  expect(await grace.tally()).toEqual({ received: 22, recovered: 20, missing: 0, doubled: 0 });
});

test('what a page sends while it is cut off arrives when it is back', async () => {
  const [ada, grace] = await Promise.all([open('Ada', 3), open('Grace', 1)]);
  await grace.button('Cut the connection').click();
  await grace.says('The connection is cut');
  await grace.send('sent without a connection', 'and another');
  await ada.send('from Ada');
  await ada.texts(1);
  await grace.button(/^Reconnect now/).click();
  const expected = ['from Ada', 'sent without a connection', 'and another'];
  expect(await grace.texts(3)).toEqual(expected);
  expect(await ada.texts(3)).toEqual(expected);
});

test('a killed node is shown down, and up when started again; its clients recover elsewhere', async () => {
  const [ada, grace, radia] = await Promise.all([open('Ada', 1), open('Grace', 2), open('Radia', 2)]);
  await ada.send('before');
  await Promise.all([grace.texts(1), radia.texts(1)]);

  const meanwhile = numbered('meanwhile', 15);
  await grace.button('Kill node 2').click();
  await ada.send(...meanwhile);
  for (const page of [grace, radia]) {
    expect(await page.texts(16)).toEqual(['before', ...meanwhile]);
    await page.says(/Recovered on node [13]: /);
    await page.says(/This page is on node [13]/);
    expect(await page.tally()).toMatchObject({ received: 16, missing: 0, doubled: 0 });
  }

  for (const page of [ada, grace]) {
    await page.nodeIs(2, 'down');
    await page.says('2 of 3 up');
  }
  await ada.says('node 2 is suspect');
  await ada.says('node 2 is down');
  await radia.send('I am back');
  expect((await ada.texts(17)).at(-1)).toBe('I am back');

  await ada.button('Start node 2').click();
  for (const page of [ada, grace]) {
    await page.nodeIs(2, 'up');
    await page.says('3 of 3 up');
  }
  await grace.button('Move to node 2').click();
  await grace.isOn(2);
  await ada.send('welcome back');
  expect(await grace.texts(18)).toEqual(['before', ...meanwhile, 'I am back', 'welcome back']);
  expect(await grace.tally()).toMatchObject({ received: 18, missing: 0, doubled: 0 });
});

test('a guest talks to who tries it alone', async () => {
  const ada = await open('Ada', 1);
  const guest = ada.button('Let a guest talk');
  await guest.click();
  await ada.texts(2);
  const [first] = await ada.lines();
  expect(first).toMatchObject({ name: 'Ada’s guest' });
  await guest.click();
  await until(async () => (await ada.people()).join() === 'Ada', { what: 'the guest to be gone' });
});

test.each([
  { width: 320, height: 640 },
  { width: 768, height: 1024 },
  { width: 1280, height: 720 },
])('the page fits a screen of $width pixels', async (viewport) => {
  const page = await ChatPage.open(browser, demo.address, { name: 'Ada', node: 1, viewport });
  pages.push(page);
  await page.says('3 of 3 up');
  await page.send('A word that is long: ' + 'x'.repeat(200));
  await page.texts(1);
  const width = await page.page.evaluate('document.documentElement.scrollWidth');
  expect(width).toBeLessThanOrEqual(viewport.width);
});
